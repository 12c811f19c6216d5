import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { JointQuestion } from "../../src/internal/joint-question.ts";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

it("is put once for all who have it, and anew after its answer", async () => {
  let put = 0;
  const question = new JointQuestion(async () => ++put);
  expect(await Promise.all([question.ask(), question.ask(), question.ask()])).toEqual([1, 1, 1]);
  expect(await question.ask()).toBe(2);
});

it("is put again where the first answer fails, and all who had joined are told", async () => {
  let put = 0;
  const question = new JointQuestion(async () => {
    if (++put === 1) throw new Error("no");
    return put;
  });
  const asked = await Promise.allSettled([question.ask(), question.ask()]);
  expect(asked.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  expect(await question.ask()).toBe(2);
});

it("is put once more by those who joined a question that is never answered", async () => {
  let put = 0;
  const question = new JointQuestion(() => (++put === 1 ? new Promise<number>(() => undefined) : Promise.resolve(put)));
  void question.ask();
  const joined = [question.ask(), question.ask()];
  await vi.advanceTimersByTimeAsync(3000);
  expect(await Promise.all(joined)).toEqual([2, 3]);
});
