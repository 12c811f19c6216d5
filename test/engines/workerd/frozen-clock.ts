import type { Handler } from "./worker.ts";

/**
 * Makes the clocks move as they do on Cloudflare's own machines: not while code runs, but only when something comes in
 * from outside, a request or a timer (https://developers.cloudflare.com/workers/reference/security-model/). The clocks
 * of a workerd that runs alone always move.
 */
export function freezeClocks(): void {
  const { setTimeout } = globalThis;
  const now = performance.now.bind(performance);
  const wall = Date.now;
  let [shown, shownWall] = [now(), wall()];
  move = () => {
    [shown, shownWall] = [now(), wall()];
  };
  Object.assign(performance, { now: () => shown });
  Date.now = () => shownWall;
  Object.assign(globalThis, {
    setTimeout: (callback: () => void, milliseconds?: number) =>
      setTimeout(() => {
        move();
        callback();
      }, milliseconds),
  });
}

let move = (): void => undefined;

/** A handler for which the clocks move when a request comes in. */
export function movesClocks({ fetch }: Handler): Handler {
  return {
    fetch: (request) => {
      move();
      return fetch(request);
    },
  };
}
