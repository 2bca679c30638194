import { join } from "node:path";
import { endNodeProcesses, nodeProcess } from "../support/node-process.ts";
import { temporaryDirectory } from "../support/temp-directory.ts";
import { endProcessesOf, main } from "./support.ts";

const start = join(main, "..", "..", "start.mjs");
const home = temporaryDirectory();
const env = { HOME: home, BATON_HOME: join(home, "baton"), BATON_PORT: "0" };

afterAll(async () => {
  endProcessesOf(home); // first: whoever is left holds the output of those that the next one waits for
  await endNodeProcesses();
});

async function ends(args: string[], more: Record<string, string> = {}): Promise<[number | null, string]> {
  const one = nodeProcess(start, { args, cwd: home, env: { ...env, ...more } });
  return [(await one.ended).code, one.output()];
}

test("a command or an option that there is not is written wrongly (64), and the list can be pasted", async () => {
  expect(await ends(["foo"])).toEqual([64, expect.stringMatching(new RegExp(`There is no command "foo"[^]* node ${start} status`))]);
  expect(await ends(["start", "--port=1"])).toEqual([64, expect.stringMatching(/start takes no options.*--port=1/)]);
});

test("an address that is none is refused by its variable's name", async () => {
  expect(await ends([], { DATABASE_URL: "localhost" })).toEqual([1, expect.stringMatching(/^DATABASE_URL is no address/)]);
});

test("a Node that is too old hears so in one sentence", async () => {
  const old = 'data:text/javascript,Object.defineProperty(process,"versions",{value:{...process.versions,node:"18.20.0"}})';
  expect(await ends([], { NODE_OPTIONS: `--import=${old.replaceAll('"', "%22")}` })).toEqual([1, expect.stringMatching(/^Baton needs Node 20 or newer.*\n$/)]);
});
