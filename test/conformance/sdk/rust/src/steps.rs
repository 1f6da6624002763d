//! The steps, one call of the SDK each.

use std::num::NonZeroU32;

use azure_core::http::Etag;
use azure_data_cosmos::feed::FeedScope;
use azure_data_cosmos::models::{
    ChangeFeedItem, CosmosNumber, ItemResponse, PartitionKeyValue, PatchInstructions, PatchOperation, ResponseHeaders,
};
use azure_data_cosmos::options::{
    BatchOptions, BatchReplaceOptions, BatchUpsertOptions, ChangeFeedMode, ChangeFeedOptions, ChangeFeedStartFrom,
    ContentResponseOnWrite, ItemReadOptions, ItemWriteOptions, MaxItemCountHint, OperationOptions, PatchItemOptions,
    Precondition, QueryOptions,
};
use azure_data_cosmos::{PartitionKey, Query, TransactionalBatch};
use futures::StreamExt;
use serde_json::{Value, json};

use crate::{Outcome, Session, Stop, text};

impl Session {
    /// Takes one step.
    pub async fn take(&mut self, step: &Value, principal: &str) -> Outcome {
        match text(step, "op") {
            "create" | "upsert" | "replace" | "delete" | "read" => self.point(step, principal).await,
            "patch" => self.patch(step, principal).await,
            "query" => self.query(step, principal).await,
            "batch" => self.batch(step, principal).await,
            "all_versions" => self.all_versions(step, principal).await,
            "change_feed" => self.change_feed(step, principal).await,
            "read_container" => {
                let response = self.container(step, principal).await?.read(None).await?;
                let (status, seen) = (u16::from(response.status().status_code()), seen(response.headers()));
                let definition = serde_json::to_value(response.into_model()?)?;
                let paths = definition["partitionKey"]["paths"].clone();
                Ok((json!({"status": status, "seen": seen, "item": {"partitionKey": paths}}), None))
            }
            "read_database" => {
                let response = self.database(step, principal).await?.read(None).await?;
                let (status, seen) = (u16::from(response.status().status_code()), seen(response.headers()));
                let id = response.into_model()?.id;
                Ok((json!({"status": status, "seen": seen, "item": {"id": id}}), None))
            }
            other => Err(Stop::Unsupported(format!("azure_data_cosmos has no call for {other}"))),
        }
    }

    async fn point(&mut self, step: &Value, principal: &str) -> Outcome {
        let container = self.container(step, principal).await?;
        let key = partition_key(&step["pk"])?;
        let item = &step["item"];
        let id = step["id"].as_str().unwrap_or(text(item, "id"));
        let precondition = self.precondition(step);
        let mut options = ItemWriteOptions::default().with_operation_options(content(step));
        if let Some(condition) = precondition.clone() {
            options = options.with_precondition(condition);
        }
        let response = match text(step, "op") {
            "create" => container.create_item(key, id, item, Some(options)).await?,
            "upsert" => container.upsert_item(key, id, item, Some(options)).await?,
            "replace" => container.replace_item(key, id, item, Some(options)).await?,
            "delete" => container.delete_item(key, id, Some(options)).await?,
            _ => {
                let mut options = ItemReadOptions::default();
                if let Some(condition) = precondition {
                    options = options.with_precondition(condition);
                }
                container.read_item(key, id, Some(options)).await?
            }
        };
        answer(response)
    }

    async fn patch(&mut self, step: &Value, principal: &str) -> Outcome {
        if step.get("condition").is_some() {
            return Err(Stop::Unsupported("azure_data_cosmos has no PATCH condition".into()));
        }
        let mut instructions = PatchInstructions::new();
        for one in step["operations"].as_array().into_iter().flatten() {
            instructions = instructions.with_operation(patch_operation(one)?);
        }
        let mut options = PatchItemOptions::default().with_operation_options(content(step));
        if let Some(condition) = self.precondition(step) {
            options = options.with_precondition(condition);
        }
        let container = self.container(step, principal).await?;
        answer(container.patch_item(partition_key(&step["pk"])?, text(step, "id"), instructions, Some(options)).await?)
    }

    /// Turns if_match and if_none_match into a precondition.
    fn precondition(&self, step: &Value) -> Option<Precondition> {
        let matching = self.tag(&step["if_match"]).map(Precondition::if_match);
        matching.or_else(|| self.tag(&step["if_none_match"]).map(Precondition::if_none_match))
    }

    /// Reads every page, each from a continuation token if the step asks.
    async fn query(&mut self, step: &Value, principal: &str) -> Outcome {
        let container = self.container(step, principal).await?;
        let mut query = Query::from(text(step, "query").to_owned());
        for one in step["parameters"].as_array().into_iter().flatten() {
            query = query.with_parameter(text(one, "name").to_owned(), &one["value"])?;
        }
        let (mut items, mut pages, mut last): (Vec<Value>, Vec<usize>, Value) = Default::default();
        let mut token = None;
        loop {
            let mut options = QueryOptions::default();
            if let Some(limit) = limit(step) {
                options = options.with_max_item_count(limit);
            }
            if let Some(token) = token.take() {
                options = options.with_continuation_token(token);
            }
            let mut stream =
                container.query_items::<Value>(query.clone(), scope(step)?, Some(options)).await?.into_pages();
            let mut ended = true;
            while let Some(page) = stream.next().await {
                let page = page?;
                last = json!(seen(page.headers()));
                let found = page.into_items();
                pages.push(found.len());
                items.extend(found);
                if step["resume"] == json!(true) {
                    ended = false;
                    break;
                }
            }
            if ended {
                break;
            }
            token = Some(stream.to_continuation_token()?);
        }
        Ok((json!({"status": 200, "seen": last, "items": items, "pages": pages}), None))
    }

    async fn batch(&mut self, step: &Value, principal: &str) -> Outcome {
        let mut batch = TransactionalBatch::new(partition_key(&step["pk"])?);
        for one in step["operations"].as_array().into_iter().flatten() {
            let (id, item) = (text(one, "id").to_owned(), &one["item"]);
            let condition = self.tag(&one["if_match"]).map(Precondition::if_match);
            batch = match text(one, "op") {
                "create" => batch.create_item(item)?,
                "upsert" => {
                    let options = condition.map(|one| BatchUpsertOptions::default().with_precondition(one));
                    batch.upsert_item(item, options)?
                }
                "replace" => {
                    let options = condition.map(|one| BatchReplaceOptions::default().with_precondition(one));
                    batch.replace_item(id, item, options)?
                }
                "read" => batch.read_item(id, None),
                "delete" => batch.delete_item(id, None),
                other => return Err(Stop::Unsupported(format!("azure_data_cosmos has no {other} in a batch"))),
            };
        }
        let container = self.container(step, principal).await?;
        let options = BatchOptions::default().with_operation_options(content(step));
        let response = container.execute_transactional_batch(batch, Some(options)).await?;
        let mut result =
            json!({"status": u16::from(response.status().status_code()), "seen": seen(response.headers())});
        let mut outcomes = Vec::new();
        for one in response.into_model()?.results() {
            let mut outcome = json!({"status": one.status_code()});
            if let Some(item) = one.into_model::<Value>()?.filter(|item| !item.is_null()) {
                outcome["item"] = item;
            }
            outcomes.push(outcome);
        }
        result["results"] = json!(outcomes);
        Ok((result, None))
    }

    /// Reads the change feed until a page is empty: nothing more has happened.
    async fn change_feed(&mut self, step: &Value, principal: &str) -> Outcome {
        let container = self.container(step, principal).await?;
        let mut options = ChangeFeedOptions::default();
        if let Some(limit) = limit(step) {
            options = options.with_max_item_count(limit);
        }
        let mut feed =
            container.query_change_feed::<Value>(scope(step)?, ChangeFeedStartFrom::Beginning, Some(options)).await?;
        let (mut items, mut pages): (Vec<Value>, Vec<usize>) = Default::default();
        while let Some(page) = feed.next().await {
            let found: Vec<ChangeFeedItem<Value>> = page?.into_items();
            if found.is_empty() {
                break;
            }
            pages.push(found.len());
            items.extend(found.iter().map(|one| json!(one.current())));
        }
        Ok((json!({"status": 200, "items": items, "pages": pages}), None))
    }
}

impl Session {
    /// Reads every version and deletion of what the nested steps do.
    async fn all_versions(&mut self, step: &Value, principal: &str) -> Outcome {
        let container = self.container(step, principal).await?;
        let options = ChangeFeedOptions::default().with_mode(ChangeFeedMode::AllVersionsAndDeletes);
        let scope = FeedScope::full_container();
        let mut feed = container.query_change_feed::<Value>(scope, ChangeFeedStartFrom::Now, Some(options)).await?;
        feed.next().await.transpose()?;
        for one in step["then"].as_array().into_iter().flatten() {
            Box::pin(self.step(one, principal)).await;
        }
        let mut items: Vec<Value> = Vec::new();
        while let Some(page) = feed.next().await {
            let found: Vec<ChangeFeedItem<Value>> = page?.into_items();
            if found.is_empty() {
                break;
            }
            for one in found {
                let operation = one.operation_type().map(|kind| format!("{kind:?}").to_lowercase());
                items.push(json!({"operation": operation, "n": one.current().map(|current| &current["n"])}));
            }
        }
        Ok((json!({"status": 200, "items": items}), None))
    }
}

/// Turns the plan's key components into what the SDK takes.
fn partition_key(components: &Value) -> Result<PartitionKey, Stop> {
    let mut values: Vec<PartitionKeyValue> = Vec::new();
    for one in components.as_array().into_iter().flatten() {
        values.push(match one {
            Value::Null => PartitionKeyValue::NULL,
            Value::String(text) => text.into(),
            Value::Bool(truth) => (*truth).into(),
            Value::Number(number) => number.as_f64().unwrap_or_default().try_into()?,
            _ => PartitionKeyValue::UNDEFINED,
        });
    }
    Ok(values.try_into()?)
}

fn scope(step: &Value) -> Result<FeedScope, Stop> {
    match step.get("pk") {
        Some(key) => Ok(FeedScope::partition(partition_key(key)?)),
        None => Ok(FeedScope::full_container()),
    }
}

fn limit(step: &Value) -> Option<MaxItemCountHint> {
    let most = u32::try_from(step["max"].as_u64()?).ok()?;
    NonZeroU32::new(most).map(MaxItemCountHint::Limit)
}

/// Asks for the written item in the answer, unless the step wants none.
fn content(step: &Value) -> OperationOptions {
    let mut options = OperationOptions::default();
    if step["minimal"] != json!(true) {
        options.content_response_on_write = Some(ContentResponseOnWrite::Enabled);
    }
    options
}

fn patch_operation(one: &Value) -> Result<PatchOperation, Stop> {
    let (path, value) = (text(one, "path"), one["value"].clone());
    Ok(match text(one, "op") {
        "add" => PatchOperation::add(path, value),
        "set" => PatchOperation::set(path, value),
        "replace" => PatchOperation::replace(path, value),
        "remove" => PatchOperation::remove(path),
        "move" => PatchOperation::move_value(text(one, "from"), path),
        "incr" => match (value.as_i64(), value.as_f64()) {
            (Some(whole), _) => PatchOperation::increment(path, CosmosNumber::from(whole)),
            (_, amount) => PatchOperation::increment(path, CosmosNumber::from(amount.unwrap_or_default())),
        },
        other => return Err(Stop::Unsupported(format!("azure_data_cosmos has no PATCH operation {other}"))),
    })
}

/// Builds the result of a call that succeeded.
fn answer(response: ItemResponse) -> Outcome {
    let tag: Option<Etag> = response.headers().etag().cloned();
    let mut result = json!({"status": u16::from(response.status().status_code()), "seen": seen(response.headers())});
    let body = response.into_body();
    if !body.is_empty() {
        result["item"] = body.into_single()?;
    }
    Ok((result, tag))
}

/// Names the volatile headers that an answer carried, without values.
fn seen(headers: &ResponseHeaders) -> Vec<&'static str> {
    let known = [
        ("activity", headers.activity_id().is_some()),
        ("charge", headers.request_charge().is_some()),
        ("etag", headers.etag().is_some()),
        ("session", headers.session_token().is_some()),
    ];
    known.into_iter().filter(|(_, there)| *there).map(|(name, _)| name).collect()
}
