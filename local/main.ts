import { readConfig } from "../contracts/config.schema.ts";
import { greeting } from "./greeting.ts";
import { lockHome } from "./home-lock.ts";
import { prepareHome } from "./home.ts";
import { outliveOutput } from "./outlive-output.ts";
import { runningBaton } from "./run-file.ts";
import { onStopSignals } from "./stop-signals.ts";
import { createSupervisor } from "./supervisor.ts";

const say = (line: string): void => {
  process.stdout.write(`${line}\n`);
};

outliveOutput();
const code = await main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  return 1;
});
// whatever still holds the event loop: nothing of ours is up any more
process.exit(code);

async function main(): Promise<number> {
  const config = readConfig(process.env);
  const home = prepareHome(config.home);
  const lock = await lockHome(home.path);
  if (lock === null) {
    const first = await runningBaton(home.runFile, 120_000);
    if (first === null) throw new Error(`Another Baton holds ${home.path} but does not come up. Its logs: ${home.logs}`);
    say(`Baton runs already on this home (pid ${first.pid}).`);
    say(await greeting(home, first, process.env));
    return 0;
  }
  const supervisor = createSupervisor({ config, home, env: process.env, say });
  const told = new Promise<void>((resolve) => {
    onStopSignals(resolve, () => {
      supervisor.kill();
      process.exit(130);
    });
  });
  let failure: unknown = null;
  try {
    await Promise.race([supervisor.start(), told]);
    if (supervisor.run.ready) {
      say(await greeting(home, supervisor.run, process.env));
      say("Baton is up. Ctrl-C stops it.");
      await told;
    }
  } catch (error) {
    failure = error;
  }
  const agents = supervisor.run.parts["host"] === undefined ? "" : ": agents are told that their attempt is lost and go on at the next start";
  if (failure === null) say(`Stopping${agents} …`);
  await supervisor.stop();
  lock.release();
  if (failure !== null) throw failure;
  say("Stopped.");
  return 0;
}
