import { namedRows, rowsOf } from "./fault-table.ts";
import { faultRows } from "./matrix.ts";

test("every fault that Baton is held against has a test that names its row", () => {
  expect(faultRows.map(({ row }) => row).filter((row) => !namedRows().has(row))).toEqual([]);
});

test("titles name one row or several", () => {
  expect(rowsOf("nothing is lost (row 9)")).toEqual([9]);
  expect(rowsOf("nothing is lost (rows 9, 11)")).toEqual([9, 11]);
  expect(rowsOf("a row of its own")).toEqual([]);
});
