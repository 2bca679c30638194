import { readFileSync } from "node:fs";

// Loaded by `node --import` into a process whose clock a test steps: the milliseconds in the file are added to every wall clock reading.
const file = process.env["BATON_TEST_CLOCK"] ?? "";
const RealDate = Date;
const realNow = RealDate.now.bind(RealDate);
let shift = 0;
function read(): void {
  try {
    shift = Number(readFileSync(file, "utf8")) || 0;
  } catch {
    shift = 0;
  }
}
read();
setInterval(read, 50).unref();

const ShiftedDate: DateConstructor = new Proxy(RealDate, {
  construct: (target, args: unknown[], newTarget) =>
    Reflect.construct(target, args.length === 0 ? [realNow() + shift] : args, newTarget === ShiftedDate ? target : newTarget) as Date,
  apply: () => new RealDate(realNow() + shift).toString(),
  get: (target, name) => (name === "now" ? () => realNow() + shift : (Reflect.get(target, name) as unknown)),
});
globalThis.Date = ShiftedDate;
