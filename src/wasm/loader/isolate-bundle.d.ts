/**
 * The engine that runs in isolates, bundled to one module of JavaScript. `scripts/isolate-bundle.ts` writes it, beside the
 * sources for a worker that is bundled from them, and in the package when that is built.
 */
export declare const isolateBundle: string;
