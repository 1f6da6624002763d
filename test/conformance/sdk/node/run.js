// Runs the conformance cases with @azure/cosmos.
//
// Reads one plan (JSON) from standard input and writes one line of JSON per
// case to standard output. The plan, the steps and the results are described
// in ../../README.md. The authority of the endpoint arrives through
// NODE_EXTRA_CA_CERTS, so that the SDK's own agent is used.
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { text } from "node:stream/consumers";
import { ChangeFeedMode, ChangeFeedStartFrom, CosmosClient, StatusCodes } from "@azure/cosmos";

const run = promisify(execFile);

// Unsupported says that this SDK has no call for what a step asks.
class Unsupported extends Error {}

// credential returns a TokenCredential that runs the command that prints a
// token; a string is taken as the token itself.
function credential(command) {
  return {
    async getToken() {
      const token = typeof command === "string" ? command : (await run(command[0], command.slice(1))).stdout.trim();
      return { token, expiresOnTimestamp: expiry(token) };
    },
  };
}

// expiry reads when a token ends; one that does not say ends in an hour.
function expiry(token) {
  try {
    return JSON.parse(Buffer.from(token.split(".")[1], "base64url").toString()).exp * 1000;
  } catch {
    return Date.now() + 3_600_000;
  }
}

// partitionKey turns the plan's key components into what the SDK takes.
function partitionKey(components) {
  return components;
}

// seen names the volatile headers that an answer carried, without values.
function seen(headers = {}) {
  const known = {
    etag: "etag",
    "x-ms-session-token": "session",
    "x-ms-request-charge": "charge",
    "x-ms-activity-id": "activity",
  };
  return Object.entries(known)
    .filter(([name]) => headers[name])
    .map(([, short]) => short)
    .sort();
}

// failure says what the SDK's own error exposes.
function failure(error) {
  const result = { type: error.constructor.name, message: error.body?.message ?? error.message };
  if (typeof error.code === "number") result.status = error.code;
  else if (error.code !== undefined) result.code = error.code;
  if (error.body?.code !== undefined) result.code = error.body.code;
  if (error.substatus) result.substatus = error.substatus;
  return result;
}

// outcome builds the result of one operation of a batch or of a bulk.
function outcome(one) {
  const result = { status: one.statusCode };
  if (one.resourceBody) result.item = one.resourceBody;
  return result;
}

class Session {
  constructor(plan) {
    this.plan = plan;
    this.clients = new Map();
    this.saved = {};
  }

  // client returns the client that signs in as the principal and prefers the
  // step's regions.
  client(step, principal) {
    if (step.direct) throw new Unsupported("@azure/cosmos has no direct mode");
    const name = [principal, ...(step.regions ?? [])].join("\n");
    if (!this.clients.has(name)) {
      const identity = this.plan.key
        ? { key: this.plan.key }
        : { aadCredentials: credential(this.plan.tokens[principal]) };
      const policy = step.regions ? { connectionPolicy: { preferredLocations: step.regions } } : {};
      this.clients.set(name, new CosmosClient({ endpoint: this.plan.endpoint, ...identity, ...policy }));
    }
    return this.clients.get(name);
  }

  database(step, principal) {
    return this.client(step, principal).database(this.plan.containers[step.container].database);
  }

  container(step, principal) {
    return this.database(step, principal).container(this.plan.containers[step.container].container);
  }

  item(step, principal) {
    return this.container(step, principal).item(step.id, partitionKey(step.pk));
  }

  // options turns if_match and if_none_match into request options.
  options(step) {
    if (step.minimal) throw new Unsupported("@azure/cosmos asks for minimal answers on batch and bulk only");
    if (step.if_match !== undefined) return { accessCondition: { type: "IfMatch", condition: this.tag(step.if_match) } };
    if (step.if_none_match !== undefined) {
      return { accessCondition: { type: "IfNoneMatch", condition: this.tag(step.if_none_match) } };
    }
    return {};
  }

  // tag resolves $name to the entity tag saved under that name.
  tag(value) {
    return value.startsWith("$") ? this.saved[value.slice(1)] : value;
  }

  // step runs one step and returns its result.
  async step(step, principal) {
    try {
      const response = await operations[step.op](this, step, principal);
      if (step.save) this.saved[step.save] = response.etag;
      return response.result;
    } catch (error) {
      if (error instanceof Unsupported) return { unsupported: error.message };
      if (error instanceof SyntaxError || error instanceof TypeError || error instanceof ReferenceError) {
        return { type: error.constructor.name, message: error.message, stack: error.stack };
      }
      return failure(error);
    }
  }
}

// answer builds the result of a point call.
function answer(response, item = response.resource) {
  const result = { status: response.statusCode, seen: seen(response.headers) };
  if (response.statusCode === StatusCodes.NotFound) {
    // A missing item is no error in this SDK: the status says so.
    if (response.substatus) result.substatus = response.substatus;
  } else if (item) {
    result.item = item;
  }
  return { result, etag: response.etag ?? response.headers?.etag };
}

// drain reads every page, each from a continuation token if the step asks.
async function drain(start, step) {
  const items = [];
  const pages = [];
  let last;
  let iterator = start(undefined);
  while (iterator.hasMoreResults()) {
    last = await iterator.fetchNext();
    items.push(...(last.resources ?? []));
    pages.push(last.resources?.length ?? 0);
    if (!step.resume) continue;
    if (!last.continuationToken) break;
    iterator = start(last.continuationToken);
  }
  return { result: { status: 200, seen: seen(last?.headers), items, pages } };
}

function feedOptions(step, continuationToken) {
  const options = {};
  if (step.max !== undefined) options.maxItemCount = step.max;
  if (step.pk !== undefined) options.partitionKey = partitionKey(step.pk);
  if (continuationToken) options.continuationToken = continuationToken;
  return options;
}

function batchOperation(session, one) {
  const kind = one.op[0].toUpperCase() + one.op.slice(1);
  const operation = { operationType: kind };
  if (one.id !== undefined) operation.id = one.id;
  if (one.pk !== undefined) operation.partitionKey = partitionKey(one.pk);
  if (one.item !== undefined) operation.resourceBody = one.item;
  if (one.operations !== undefined) {
    operation.resourceBody = { operations: one.operations };
    if (one.condition !== undefined) operation.resourceBody.condition = one.condition;
  }
  if (one.if_match !== undefined) operation.ifMatch = session.tag(one.if_match);
  return operation;
}

const operations = {
  create: async (s, step, who) => answer(await s.container(step, who).items.create(step.item, s.options(step))),
  upsert: async (s, step, who) => answer(await s.container(step, who).items.upsert(step.item, s.options(step))),
  read: async (s, step, who) => answer(await s.item(step, who).read(s.options(step))),
  replace: async (s, step, who) => answer(await s.item(step, who).replace(step.item, s.options(step))),
  delete: async (s, step, who) => answer(await s.item(step, who).delete(s.options(step))),
  patch: async (s, step, who) => {
    const body = step.condition === undefined
      ? step.operations
      : { operations: step.operations, condition: step.condition };
    return answer(await s.item(step, who).patch(body, s.options(step)));
  },
  query: (s, step, who) => drain(
    (token) => s.container(step, who).items.query(
      { query: step.query, parameters: step.parameters ?? [] }, feedOptions(step, token)),
    step),
  read_all: (s, step, who) => drain(
    (token) => s.container(step, who).items.readAll(feedOptions(step, token)), step),
  read_many: async () => {
    throw new Unsupported("@azure/cosmos has no read-many call");
  },
  batch: async (s, step, who) => {
    const response = await s.container(step, who).items.batch(
      step.operations.map((one) => batchOperation(s, one)), partitionKey(step.pk));
    return {
      result: { status: response.code, seen: seen(response.headers), results: response.result.map(outcome) },
    };
  },
  bulk: async (s, step, who) => {
    const found = await s.container(step, who).items.executeBulkOperations(
      step.operations.map((one) => batchOperation(s, one)));
    return {
      result: { status: 200, results: found.map((one) => (one.error ? failure(one.error) : outcome(one.response))) },
    };
  },
  change_feed: async (s, step, who) => {
    const from = ChangeFeedStartFrom.Beginning(step.pk === undefined ? undefined : partitionKey(step.pk));
    const iterator = s.container(step, who).items.getChangeFeedIterator({
      changeFeedStartFrom: from, ...(step.max === undefined ? {} : { maxItemCount: step.max }) });
    const items = [];
    const pages = [];
    while (iterator.hasMoreResults) {
      const page = await iterator.readNext();
      if (page.statusCode === StatusCodes.NotModified) {
        return { result: { status: 304, seen: seen(page.headers), items, pages } };
      }
      items.push(...page.result);
      pages.push(page.result.length);
    }
    return { result: { status: 200, items, pages } };
  },
  all_versions: async (s, step, who) => {
    const iterator = s.container(step, who).items.getChangeFeedIterator({
      changeFeedStartFrom: ChangeFeedStartFrom.Now(), changeFeedMode: ChangeFeedMode.AllVersionsAndDeletes });
    await iterator.readNext(); // from here on
    for (const one of step.then) await s.step(one, who);
    const items = [];
    for (let page = await iterator.readNext(); page.statusCode !== StatusCodes.NotModified; page = await iterator.readNext()) {
      items.push(...page.result.map(({ current, metadata }) => ({ operation: metadata.operationType, n: current?.n })));
    }
    return { result: { status: 200, items } };
  },
  read_container: async (s, step, who) => {
    const response = await s.container(step, who).read();
    return answer(response, { partitionKey: response.resource.partitionKey.paths });
  },
  read_database: async (s, step, who) => {
    const response = await s.database(step, who).read();
    return answer(response, { id: response.resource.id });
  },
  list_containers: async (s, step, who) => {
    const response = await s.database(step, who).containers.readAll().fetchAll();
    return { result: { status: 200, items: response.resources.map((one) => one.id) } };
  },
  list_databases: async (s, step, who) => {
    const response = await s.client(step, who).databases.readAll().fetchAll();
    return { result: { status: 200, items: response.resources.map((one) => one.id) } };
  },
};

const plan = JSON.parse(await text(process.stdin));
const session = new Session(plan);
for (const one of plan.cases) {
  if (plan.case_url) await fetch(plan.case_url + encodeURIComponent(one.name));
  const steps = [];
  for (const step of one.steps) steps.push(await session.step(step, step.as ?? one.as));
  process.stdout.write(JSON.stringify({ case: one.name, steps }) + "\n");
}
for (const client of session.clients.values()) client.dispose();
