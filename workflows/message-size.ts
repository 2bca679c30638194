import { ApplicationFailure } from "@temporalio/workflow";

/** Bytes; what is larger is refused by Temporal in ways that stop the whole workflow. */
export const maxMessageBytes = 262_144;

/** Serialized size in bytes. */
export function messageBytes(value: unknown): number {
  return new TextEncoder().encode(JSON.stringify(value) ?? "").length;
}

/** The same activities; the argument of each call is checked before it is sent. Error of a call: as of `small`. */
export function sending<A extends object>(activities: A): A {
  // proxyActivities makes a function for any name that is asked for: so does this.
  return new Proxy(activities, {
    get: (all, name) => {
      const call: unknown = Reflect.get(all, name);
      return typeof call === "function" ? async (argument: unknown): Promise<unknown> => call(small(argument)) as Promise<unknown> : call;
    },
  });
}

/** Returns the value; error: a failure that ends the workflow, since only a bug of ours sends this much. */
export function small<T>(value: T): T {
  const bytes = messageBytes(value);
  if (bytes > maxMessageBytes)
    throw ApplicationFailure.nonRetryable(`A message of ${bytes} bytes would go to Temporal; the limit is ${maxMessageBytes}`, "baton.message_too_large");
  return value;
}
