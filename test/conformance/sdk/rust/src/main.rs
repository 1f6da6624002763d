//! Runs the conformance cases with azure_data_cosmos.
//!
//! Reads one plan (JSON) from standard input and writes one line of JSON per
//! case to standard output. The plan, the steps and the results are described
//! in ../../README.md. The authority of the endpoint arrives through
//! SSL_CERT_FILE, so that the SDK's own transport is used.

mod credential;
mod steps;

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use azure_core::http::Etag;
use azure_data_cosmos::{
    AccountReference, ContainerClient, CosmosClient, CosmosError, CosmosRuntime, DatabaseClient, RoutingStrategy,
};
use serde_json::{Value, json};

/// What stops a step.
pub enum Stop {
    /// This SDK has no call for what the step asks.
    Unsupported(String),
    /// What the SDK's caller would meet.
    Error(Box<CosmosError>),
    /// Anything else, in words.
    Other(String),
}

impl From<CosmosError> for Stop {
    fn from(error: CosmosError) -> Self {
        Self::Error(Box::new(error))
    }
}

impl From<serde_json::Error> for Stop {
    fn from(error: serde_json::Error) -> Self {
        Self::Other(error.to_string())
    }
}

/// The result of a step, and the entity tag that it may save.
pub type Outcome = Result<(Value, Option<Etag>), Stop>;

/// The clients of one run and the entity tags that its steps saved.
pub struct Session {
    plan: Value,
    clients: HashMap<String, CosmosClient>,
    saved: HashMap<String, Etag>,
}

impl Session {
    /// The client that signs in as the principal and prefers the step's regions.
    async fn client(&mut self, step: &Value, principal: &str) -> Result<CosmosClient, Stop> {
        if step["direct"] == json!(true) {
            return Err(Stop::Unsupported("azure_data_cosmos has no direct mode".into()));
        }
        let name = format!("{principal}\n{}", step["regions"]);
        if let Some(known) = self.clients.get(&name) {
            return Ok(known.clone());
        }
        let endpoint = text(&self.plan, "endpoint").parse().map_err(|e| Stop::Other(format!("{e}")))?;
        let account = match self.plan["key"].as_str() {
            Some(key) => AccountReference::with_authentication_key(endpoint, key.to_owned()),
            None => AccountReference::with_credential(
                endpoint,
                Arc::new(credential::Credential(self.plan["tokens"][principal].clone())),
            ),
        };
        let regions = step["regions"].as_array().cloned().unwrap_or_default();
        let regions = regions.iter().filter_map(|one| one.as_str()).map(|one| one.to_owned().into()).collect();
        // Clients of one runtime share containers, and with them the credential
        // of whoever met a container first: principals need a runtime each.
        let runtime = CosmosRuntime::builder().build().await?;
        let client = CosmosClient::builder().with_runtime(runtime);
        let client = client.build(account, RoutingStrategy::PreferredRegions(regions)).await?;
        self.clients.insert(name, client.clone());
        Ok(client)
    }

    pub async fn database(&mut self, step: &Value, principal: &str) -> Result<DatabaseClient, Stop> {
        let client = self.client(step, principal).await?;
        let place = &self.plan["containers"][text(step, "container")];
        Ok(client.database_client(text(place, "database").to_owned()))
    }

    pub async fn container(&mut self, step: &Value, principal: &str) -> Result<ContainerClient, Stop> {
        let database = self.database(step, principal).await?;
        let place = &self.plan["containers"][text(step, "container")];
        Ok(database.container_client(text(place, "container").to_owned(), None).await?)
    }

    /// Resolves $name to the entity tag saved under that name.
    pub fn tag(&self, value: &Value) -> Option<Etag> {
        let value = value.as_str()?;
        match value.strip_prefix('$') {
            Some(name) => self.saved.get(name).cloned(),
            None => Some(Etag::from(value.to_owned())),
        }
    }

    /// Runs one step and returns its result.
    pub async fn step(&mut self, step: &Value, principal: &str) -> Value {
        match self.take(step, principal).await {
            Ok((result, tag)) => {
                if let (Some(name), Some(tag)) = (step["save"].as_str(), tag) {
                    self.saved.insert(name.to_owned(), tag);
                }
                result
            }
            Err(Stop::Unsupported(reason)) => json!({"unsupported": reason}),
            Err(Stop::Other(message)) => json!({"type": "Other", "message": message}),
            Err(Stop::Error(error)) => failure(&error),
        }
    }

    /// Tells the recorder, if there is one, which case begins.
    fn announce(&self, name: &str) -> std::io::Result<()> {
        let Some(url) = self.plan["case_url"].as_str() else {
            return Ok(());
        };
        let (host, path) = url.trim_start_matches("http://").split_once('/').unwrap_or((url, ""));
        let mut escaped = String::new();
        for byte in name.bytes() {
            escaped.push_str(&format!("%{byte:02X}"));
        }
        let mut stream = TcpStream::connect(host)?;
        write!(stream, "GET /{path}{escaped} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
        stream.read_to_string(&mut String::new()).map(|_| ())
    }
}

/// Says what the SDK's own error exposes.
fn failure(error: &CosmosError) -> Value {
    let mut result = json!({"type": "CosmosError", "status": u16::from(error.status().status_code())});
    if let Some(code) = error.status().sub_status() {
        result["substatus"] = json!(code.value());
    }
    result["message"] = json!(error.to_string());
    let body = error.response().and_then(|response| response.body().clone().single().ok());
    if let Some(body) = body.and_then(|body| serde_json::from_slice::<Value>(&body).ok()) {
        for name in ["code", "message"] {
            if body[name].is_string() {
                result[name] = body[name].clone();
            }
        }
    }
    result
}

/// A text of the plan; empty where there is none.
pub fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let plan: Value = serde_json::from_reader(std::io::stdin())?;
    let cases = plan["cases"].as_array().cloned().unwrap_or_default();
    let mut session = Session { plan, clients: HashMap::new(), saved: HashMap::new() };
    for case in &cases {
        session.announce(text(case, "name"))?;
        let mut results = Vec::new();
        for step in case["steps"].as_array().into_iter().flatten() {
            let principal = step["as"].as_str().unwrap_or(text(case, "as"));
            results.push(session.step(step, principal).await);
        }
        println!("{}", json!({"case": case["name"], "steps": results}));
    }
    Ok(())
}
