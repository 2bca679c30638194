import { readConfig } from "../contracts/config.schema.ts";
import { greeting } from "./greeting.ts";
import { lockHome } from "./home-lock.ts";
import { prepareHome } from "./home.ts";
import { runningBaton } from "./run-file.ts";
import { createSupervisor } from "./supervisor.ts";

const say = (line: string): void => {
  process.stdout.write(`${line}\n`);
};

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}

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
  const told = stopSignal(() => {
    supervisor.kill();
    process.exit(130);
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
  if (failure === null) say("Stopping: agents are told that their attempt is lost and go on at the next start …");
  await supervisor.stop();
  lock.release();
  if (failure !== null) throw failure;
  say("Stopped.");
  return 0;
}

/** Resolves at the first signal to stop; `again` is called at a second Ctrl-C. */
function stopSignal(again: () => void): Promise<void> {
  return new Promise((resolve) => {
    let first = true;
    process.on("SIGINT", () => {
      if (!first) again();
      first = false;
      resolve();
    });
    for (const name of ["SIGTERM", "SIGHUP"] as const)
      process.on(name, () => {
        first = false;
        resolve();
      });
  });
}
