/** Where a failed bounds check of AssemblyScript ends: a trap, without an import that the host would have to give. */
export function onAbort(_message: string | null, _file: string | null, _line: u32, _column: u32): void {
  unreachable();
}
