import { Connection } from "@temporalio/client";
import { searchAttributes } from "../../contracts/messages.ts";

/** `INDEXED_VALUE_TYPE_KEYWORD` of Temporal's API. */
const keyword = 2;

/** Those of our search attributes that the namespace does not know yet. */
export async function missingSearchAttributes(connection: Connection, namespace: string): Promise<string[]> {
  const known = await connection.operatorService.listSearchAttributes({ namespace });
  return searchAttributes.filter((name) => known.customAttributes[name] === undefined);
}

/** Adds our search attributes to a server that is not our own. Idempotent. Error: says which command an operator would run. */
export async function addSearchAttributes(address: string, namespace: string): Promise<void> {
  const connection = await Connection.connect({ address });
  try {
    const missing = await missingSearchAttributes(connection, namespace);
    if (missing.length === 0) return;
    await connection.operatorService.addSearchAttributes({ namespace, searchAttributes: Object.fromEntries(missing.map((name) => [name, keyword])) });
  } catch (error) {
    const command = `temporal operator search-attribute create --namespace ${namespace} ${searchAttributes.map((name) => `--name ${name} --type Keyword`).join(" ")}`;
    throw new Error(
      `Baton's search attributes could not be made at ${address}: ${error instanceof Error ? error.message : String(error)}\nAs an operator: ${command}`,
    );
  } finally {
    await connection.close();
  }
}
