/**
 * What a WASI call throws to end the guest. Neither is an `Error`: capturing a stack would cost more than
 * a whole run of a small tool.
 */

/** Thrown by `proc_exit`; unwinds the guest. */
export class ProcExit {
  readonly code: number;

  constructor(code: number) {
    this.code = code;
  }

  toString(): string {
    return `The tool ended itself with exit code ${this.code}`;
  }
}

/** Thrown where the guest hands the host a pointer and length outside its memory; unwinds the guest. */
export class AbiTrap {
  readonly message: string;

  constructor(message: string) {
    this.message = message;
  }

  toString(): string {
    return this.message;
  }
}
