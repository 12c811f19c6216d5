/** As much of Bun's and Deno's own globals as the examples use; their packages on npm bring no types. */

interface BunServer {
  readonly port: number;
  stop(closesActiveConnections?: boolean): Promise<void>;
}

declare const Bun: {
  serve(options: {
    readonly hostname: string;
    readonly port: number;
    /** Seconds. */
    readonly idleTimeout: number;
    readonly fetch: (request: Request) => Response | Promise<Response>;
  }): BunServer;
};

declare const Deno: {
  readonly env: { get(name: string): string | undefined };
  serve(
    options: { readonly hostname: string; readonly port: number; readonly onListen: (address: { readonly port: number }) => void },
    handler: (request: Request) => Response | Promise<Response>,
  ): { shutdown(): Promise<void> };
  addSignalListener(signal: "SIGINT" | "SIGTERM", listener: () => void): void;
  exit(code: number): never;
};
