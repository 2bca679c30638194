import { grown, noText, whole } from "../../providers/bounded.ts";

test("a text that grows without end keeps a megabyte and counts the rest", () => {
  const piece = "z".repeat(1_000_000);
  let text = noText;
  for (let n = 0; n < 24; n += 1) text = grown(text, piece);
  expect(text.kept).toHaveLength(1 << 20);
  expect(text.kept.length + text.dropped).toBe(24_000_000);
  const shown = (1 << 20) - 4_096;
  expect(whole(text, (all) => all)).toBe(`${"z".repeat(shown)}… [${24_000_000 - shown} characters more]`);
});

test("a text that fits is as it was said", () => {
  expect(whole(grown(grown(noText, "a"), "b"), (all) => all)).toBe("ab");
});
