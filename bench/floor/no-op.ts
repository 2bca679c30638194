import { condition, defineSignal, proxyActivities, setHandler } from "@temporalio/workflow";

const { touch } = proxyActivities<{ touch(): Promise<void> }>({ startToCloseTimeout: "1 minute" });

/** One activity and nothing else: what Temporal costs whoever starts a workflow. */
export async function oneActivity(): Promise<void> {
  await touch();
}

export const go = defineSignal("go");
export const end = defineSignal("end");

/** An activity for each signal, until `end`. */
export async function activityPerSignal(): Promise<void> {
  let due = 0;
  let over = false;
  setHandler(go, () => {
    due += 1;
  });
  setHandler(end, () => {
    over = true;
  });
  for (;;) {
    await condition(() => due > 0 || over);
    if (over) return;
    due -= 1;
    await touch();
  }
}

/** Waits for `end` and does nothing. */
export async function parked(): Promise<void> {
  let over = false;
  setHandler(end, () => {
    over = true;
  });
  await condition(() => over);
}
