import { readConfig } from "../contracts/config.schema.ts";
import { greeting } from "./greeting.ts";
import { lockHome } from "./home-lock.ts";
import type { HomeLock } from "./home-lock.ts";
import { checkAddresses } from "./addresses.ts";
import { fillHome, openHome } from "./home.ts";
import type { Home } from "./home.ts";
import { outliveOutput } from "./outlive-output.ts";
import { isAlive } from "./process-identity.ts";
import { readRunFile, runningBaton } from "./run-file.ts";
import type { RunFile } from "./run-file.ts";
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
  if (process.argv.length > 2) {
    process.stderr.write(
      `start takes no options, and there is ${JSON.stringify(process.argv[2])}: all settings are variables of the environment (README.md).\n`,
    );
    return 64;
  }
  const config = readConfig(process.env);
  checkAddresses(config);
  const home = openHome(config.home);
  const held = await lockOrRunning(home);
  if ("url" in held) {
    say(`Baton runs already on this home (pid ${held.pid}).`);
    say(await greeting(home, held, process.env));
    return 0;
  }
  fillHome(home);
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
  held.release();
  if (failure !== null) throw failure;
  say("Stopped.");
  return 0;
}

/** The home's lock, or the Baton that has it, once that is up: a start may take as long as Temporal's build. One that ends meanwhile leaves us the lock. */
async function lockOrRunning(home: Home): Promise<HomeLock | RunFile> {
  for (let told = ""; ;) {
    const lock = await lockHome(home.path);
    const run = readRunFile(home.runFile);
    const lives = run !== null && isAlive(run);
    if (lock !== null && !lives) return lock;
    lock?.release(); // a Baton of a former version, which locks otherwise
    const first = await runningBaton(home.runFile, 500);
    if (first !== null) return first;
    const who = lives ? `Baton (pid ${run.pid})` : "Another Baton";
    const line = `${who} is starting or stopping on this home (its logs: ${home.logs}); waiting …`;
    if (line !== told) say(line);
    told = line;
  }
}
