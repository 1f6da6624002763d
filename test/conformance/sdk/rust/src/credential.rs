//! A TokenCredential that runs the command that prints a token.

use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use azure_core::error::{Error, ErrorKind};
use azure_core::time::{Duration, OffsetDateTime};
use serde_json::Value;

/// The command as a list; a text is taken as the token itself. The SDK asks
/// for the scope of cosmos.azure.com, whatever the endpoint: it is ignored.
#[derive(Debug)]
pub struct Credential(pub Value);

#[async_trait::async_trait]
impl TokenCredential for Credential {
    async fn get_token(&self, _: &[&str], _: Option<TokenRequestOptions<'_>>) -> azure_core::Result<AccessToken> {
        let expires = OffsetDateTime::now_utc() + Duration::hours(1);
        if let Some(token) = self.0.as_str() {
            return Ok(AccessToken::new(token.to_owned(), expires));
        }
        let command: Vec<&str> = self.0.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let Some((program, arguments)) = command.split_first() else {
            return Err(Error::with_message(ErrorKind::Credential, "the plan has no token for this principal"));
        };
        let output = tokio::process::Command::new(program).args(arguments).output().await?;
        let token = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        Ok(AccessToken::new(token, expires))
    }
}
