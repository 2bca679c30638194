import { printable, printableJson, printableLines } from "../../cli/printable.ts";

const nasty = "a\u001b]52;c;eA==\u0007b\u009b2Jc\u202Ed\ne";

test("what agents wrote commands no terminal, in a line, in lines, in JSON", () => {
  expect(printable(nasty)).toBe("a ]52;c;eA== b 2Jc d e");
  expect(printableLines(nasty)).toBe("a ]52;c;eA== b 2Jc d\ne");
  const json = printableJson({ title: nasty, plain: "ü “ok”" });
  expect(json).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202e]/);
  expect(JSON.parse(json)).toEqual({ title: nasty, plain: "ü “ok”" });
  expect(json).toContain("ü “ok”");
});
