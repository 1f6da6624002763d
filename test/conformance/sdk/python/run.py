"""Runs the conformance cases with azure-cosmos.

Reads one plan (JSON) from standard input and writes one line of JSON per case
to standard output. The plan, the steps and the results are described in
../../README.md. The synchronous client is the default; --aio takes the
asynchronous one. Both run the same steps below: settle and pages hide the
difference.
"""

import asyncio
import base64
import inspect
import json
import logging
import subprocess
import sys
import time
import urllib.parse
import urllib.request

from azure.core import MatchConditions
from azure.core.credentials import AccessToken
from azure.cosmos import CosmosClient, documents
from azure.cosmos.aio import CosmosClient as AsyncCosmosClient
from azure.cosmos.partition_key import NonePartitionKeyValue, NullPartitionKeyValue


class Unsupported(Exception):
    """Says that this SDK has no call for what a step asks."""


class Credential:
    """A TokenCredential that runs the command that prints a token."""

    def __init__(self, command):
        self.command = command

    def get_token(self, *scopes, **kwargs):
        token = self.command if isinstance(self.command, str) else subprocess.run(
            self.command, check=True, capture_output=True, text=True).stdout.strip()
        return AccessToken(token, expiry(token))


def expiry(token):
    """Reads when a token ends; one that does not say ends in an hour."""
    try:
        claims = token.split(".")[1]
        return int(json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["exp"])
    except (IndexError, ValueError, KeyError):
        return int(time.time()) + 3600


class AsyncCredential(Credential):
    """The same for the asynchronous client."""

    async def get_token(self, *scopes, **kwargs):
        return await asyncio.to_thread(Credential.get_token, self, *scopes, **kwargs)

    async def close(self):
        """Holds nothing to release."""

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        """Holds nothing to release."""


async def settle(value):
    """Waits for what the asynchronous client returns; passes the rest on."""
    return await value if inspect.isawaitable(value) else value


async def pages(iterator):
    """Yields the pages of either client as lists."""
    if hasattr(iterator, "__aiter__"):
        async for page in iterator:
            yield [item async for item in page]
    else:
        for page in iterator:
            yield list(page)


def partition_key(components):
    """Turns the plan's key components into what the SDK takes."""
    if components == [{}]:
        return NonePartitionKeyValue
    if components == [None]:
        return NullPartitionKeyValue
    return components[0] if len(components) == 1 else components


def seen(headers):
    """Names the volatile headers that an answer carried, without values."""
    known = {"etag": "etag", "x-ms-session-token": "session", "x-ms-request-charge": "charge",
             "x-ms-activity-id": "activity"}
    return sorted(known[name.lower()] for name, value in headers.items() if name.lower() in known and value)


def failure(error):
    """Says what the SDK's own exception exposes."""
    status = getattr(error, "status_code", None)
    if status is None:
        return {"type": type(error).__name__, "message": str(error)}
    message = getattr(error, "http_error_message", None) or str(error)
    result = {"type": type(error).__name__, "status": int(status), "message": message}
    if getattr(error, "sub_status", None):
        result["substatus"] = error.sub_status
    try:
        body = json.loads(message)
        result.update(code=body.get("code"), message=body.get("message"))
    except (ValueError, AttributeError):
        pass
    return result


class Session:
    """The clients of one run and the entity tags that its steps saved."""

    def __init__(self, plan, asynchronous):
        self.plan = plan
        self.asynchronous = asynchronous
        self.clients = {}
        self.last = None
        self.saved = {}

    async def client(self, step, principal):
        """Returns the client that signs in as the principal and prefers the step's regions."""
        if step.get("direct"):
            raise Unsupported("azure-cosmos has no direct mode")
        name = (principal, *step.get("regions", []))
        if name not in self.clients:
            policy = documents.ConnectionPolicy()
            policy.PreferredLocations = step.get("regions", [])
            if not self.asynchronous:
                # For localhost the SDK verifies no certificate unless told to. The
                # asynchronous one cannot be told: without a client certificate it
                # fails on its own (None, None).
                policy.SSLConfiguration = documents.SSLConfiguration()
                policy.SSLConfiguration.SSLCaCerts = self.plan["ca"]
            credential = self.plan.get("key") or (AsyncCredential if self.asynchronous else Credential)(
                self.plan["tokens"][principal])
            kind = AsyncCosmosClient if self.asynchronous else CosmosClient
            client = kind(self.plan["endpoint"], credential, connection_policy=policy, raw_response_hook=self.observe)
            if self.asynchronous:
                await client.__aenter__()
            self.clients[name] = client
        return self.clients[name]

    def observe(self, response):
        """Remembers the last answer: the SDK's results carry no status."""
        self.last = response.http_response

    async def database(self, step, principal):
        """Returns the SDK's handle on the database of a step."""
        client = await self.client(step, principal)
        return client.get_database_client(self.plan["containers"][step["container"]]["database"])

    async def container(self, step, principal):
        """Returns the SDK's handle on the container of a step."""
        database = await self.database(step, principal)
        return database.get_container_client(self.plan["containers"][step["container"]]["container"])

    def condition(self, step):
        """Turns if_match and if_none_match into keyword arguments."""
        if "if_match" in step:
            return {"etag": self.tag(step["if_match"]), "match_condition": MatchConditions.IfNotModified}
        if "if_none_match" in step:
            return {"etag": self.tag(step["if_none_match"]), "match_condition": MatchConditions.IfModified}
        return {}

    def tag(self, value):
        """Resolves $name to the entity tag saved under that name."""
        return self.saved.get(value[1:], "never saved") if value.startswith("$") else value

    async def step(self, step, principal):
        """Runs one step and returns its result."""
        self.last = None
        try:
            result = await getattr(self, "do_" + step["op"])(step, principal)
        except Unsupported as error:
            return {"unsupported": str(error)}
        except Exception as error:  # whatever a caller would meet is a result
            result = failure(error)
            if getattr(error, "operation_responses", None):
                result["results"] = [outcome(one) for one in error.operation_responses]
            return result
        if step.get("save"):
            self.saved[step["save"]] = self.last.headers.get("etag")
        return result

    def answer(self, item=None, **more):
        """Builds the result of a call that succeeded."""
        result = {"status": self.last.status_code, "seen": seen(self.last.headers), **more}
        if item:
            result["item"] = dict(item)
        return result

    async def do_create(self, step, principal):
        return self.answer(await settle((await self.container(step, principal)).create_item(step["item"], **minimal(step))))

    async def do_upsert(self, step, principal):
        return self.answer(await settle((await self.container(step, principal)).upsert_item(
            step["item"], **minimal(step), **self.condition(step))))

    async def do_read(self, step, principal):
        return self.answer(await settle((await self.container(step, principal)).read_item(
            step["id"], partition_key(step["pk"]), **self.condition(step))))

    async def do_replace(self, step, principal):
        return self.answer(await settle((await self.container(step, principal)).replace_item(
            step["id"], step["item"], **minimal(step), **self.condition(step))))

    async def do_delete(self, step, principal):
        await settle((await self.container(step, principal)).delete_item(
            step["id"], partition_key(step["pk"]), **self.condition(step)))
        return self.answer()

    async def do_patch(self, step, principal):
        more = {"filter_predicate": step["condition"]} if "condition" in step else {}
        return self.answer(await settle((await self.container(step, principal)).patch_item(
            step["id"], partition_key(step["pk"]), step["operations"], **more, **minimal(step),
            **self.condition(step))))

    async def do_query(self, step, principal):
        options = {"max_item_count": step["max"]} if "max" in step else {}
        if "pk" in step:
            options["partition_key"] = partition_key(step["pk"])
        elif not self.asynchronous:  # the asynchronous client needs no leave
            options["enable_cross_partition_query"] = True

        container = await self.container(step, principal)
        return await self.drain(
            lambda: container.query_items(step["query"], parameters=step.get("parameters"), **options), step)

    async def do_read_all(self, step, principal):
        options = {"max_item_count": step["max"]} if "max" in step else {}
        container = await self.container(step, principal)
        return await self.drain(lambda: container.read_all_items(**options), step)

    async def drain(self, start, step):
        """Reads every page, from a continuation token each if step asks."""
        items, sizes, token = [], [], None
        iterator = start().by_page()
        while True:
            async for page in pages(iterator):
                items.extend(page)
                sizes.append(len(page))
                token = getattr(iterator, "continuation_token", None)
                if step.get("resume"):
                    break
            else:
                break
            if not token:
                break
            iterator = start().by_page(token)
        return self.answer(items=items, pages=sizes)

    async def do_read_many(self, step, principal):
        found = await settle((await self.container(step, principal)).read_items(
            [(one["id"], partition_key(one["pk"])) for one in step["ids"]]))
        return self.answer(items=sorted(found, key=lambda item: item["id"]))

    async def do_batch(self, step, principal):
        found = await settle((await self.container(step, principal)).execute_item_batch(
            [self.operation(one) for one in step["operations"]], partition_key(step["pk"])))
        return self.answer(results=[outcome(one) for one in found])

    def operation(self, one):
        """Turns one batch operation into the tuple that the SDK takes."""
        options = {"if_match_etag": self.tag(one["if_match"])} if "if_match" in one else {}
        if "condition" in one:
            options["filter_predicate"] = one["condition"]
        arguments = {"create": ("item",), "upsert": ("item",), "read": ("id",), "delete": ("id",),
                     "replace": ("id", "item"), "patch": ("id", "operations")}[one["op"]]
        return (one["op"], tuple(one[name] for name in arguments), options)

    async def do_bulk(self, step, principal):
        raise Unsupported("azure-cosmos has no bulk call")

    async def do_change_feed(self, step, principal):
        options = {"max_item_count": step["max"]} if "max" in step else {}
        if "pk" in step:
            options["partition_key"] = partition_key(step["pk"])
        feed = (await self.container(step, principal)).query_items_change_feed(start_time="Beginning", **options)
        items, sizes = [], []
        async for page in pages(feed.by_page()):
            items.extend(page)
            sizes.append(len(page))
        return self.answer(items=items, pages=[size for size in sizes if size])

    async def do_all_versions(self, step, principal):
        container = await self.container(step, principal)
        feed = container.query_items_change_feed(start_time="Now", mode="AllVersionsAndDeletes").by_page()
        async for _ in pages(feed):
            pass
        reached = container.client_connection.last_response_headers["etag"]
        for one in step["then"]:
            await self.step(one, principal)
        items = []
        async for page in pages(container.query_items_change_feed(continuation=reached).by_page()):
            items.extend({"operation": one["metadata"]["operationType"], "n": one.get("current", {}).get("n")} for one in page)
        return {"status": 200, "items": items}

    async def do_read_container(self, step, principal):
        found = await settle((await self.container(step, principal)).read())
        return self.answer({"partitionKey": found["partitionKey"]["paths"]})

    async def do_read_database(self, step, principal):
        found = await settle((await self.database(step, principal)).read())
        return self.answer({"id": found["id"]})

    async def do_list_containers(self, step, principal):
        found = (await self.database(step, principal)).list_containers()
        return self.answer(items=[one["id"] async for page in pages(found.by_page()) for one in page])

    async def do_list_databases(self, step, principal):
        found = (await self.client(step, principal)).list_databases()
        return self.answer(items=[one["id"] async for page in pages(found.by_page()) for one in page])


def minimal(step):
    """Asks for an answer without content where the step does."""
    return {"no_response": True} if step.get("minimal") else {}


def outcome(one):
    """Builds the result of one operation of a batch."""
    result = {"status": one["statusCode"]}
    if one.get("resourceBody"):
        result["item"] = one["resourceBody"]
    return result


async def main():
    plan = json.load(sys.stdin)
    session = Session(plan, "--aio" in sys.argv)
    for case in plan["cases"]:
        if plan.get("case_url"):
            urllib.request.urlopen(plan["case_url"] + urllib.parse.quote(case["name"])).close()
        steps = [await session.step(step, step.get("as", case["as"])) for step in case["steps"]]
        print(json.dumps({"case": case["name"], "steps": steps}), flush=True)
    for client in session.clients.values():
        if session.asynchronous:
            await client.__aexit__(None, None, None)


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    asyncio.run(main())
