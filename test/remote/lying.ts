import type { Fetch } from "../../src/client.ts";

type Line = Record<string, unknown>;

/**
 * A fetch that asks the real node and changes what it says of runs, line by line: a node that lies. What is given as text goes
 * out as it is.
 */
export function lyingFetch(lie: (event: Line) => readonly (Line | string)[]): Fetch {
  return async (url, init) => {
    const response = await fetch(url, init);
    if (response.body === null || !(response.headers.get("content-type") ?? "").includes("ndjson")) return response;
    const body = response.body.pipeThrough(new TextDecoderStream()).pipeThrough(linesOf()).pipeThrough(changed(lie));
    return new Response(body.pipeThrough(new TextEncoderStream()), { status: response.status, headers: response.headers });
  };
}

function linesOf(): TransformStream<string, string> {
  let rest = "";
  return new TransformStream({
    transform(chunk, controller) {
      const lines = (rest + chunk).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) if (line !== "") controller.enqueue(line);
    },
  });
}

function changed(lie: (event: Line) => readonly (Line | string)[]): TransformStream<string, string> {
  return new TransformStream({
    transform(line, controller) {
      for (const one of lie(JSON.parse(line) as Line)) controller.enqueue(typeof one === "string" ? one : `${JSON.stringify(one)}\n`);
    },
  });
}

/** A fetch that answers runs with a fixed answer and passes all else on. */
export function answeringFetch(answer: () => Response | Promise<Response>): Fetch {
  return (url, init) => (url.endsWith("/v1/executions") && init.method === "POST" ? Promise.resolve(answer()) : fetch(url, init));
}
