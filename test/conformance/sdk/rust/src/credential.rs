//! A TokenCredential that runs the command that prints a token.

use azure_core::base64;
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
        if let Some(token) = self.0.as_str() {
            return Ok(AccessToken::new(token.to_owned(), expiry(token)));
        }
        let command: Vec<&str> = self.0.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let Some((program, arguments)) = command.split_first() else {
            return Err(Error::with_message(ErrorKind::Credential, "the plan has no token for this principal"));
        };
        let output = tokio::process::Command::new(program).args(arguments).output().await?;
        let token = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let expires = expiry(&token);
        Ok(AccessToken::new(token, expires))
    }
}

/// Reads when a token ends; one that does not say ends in an hour.
fn expiry(token: &str) -> OffsetDateTime {
    let end = || {
        let claims = base64::decode_url_safe(token.split('.').nth(1)?).ok()?;
        let claims: Value = serde_json::from_slice(&claims).ok()?;
        OffsetDateTime::from_unix_timestamp(claims["exp"].as_i64()?).ok()
    };
    end().unwrap_or_else(|| OffsetDateTime::now_utc() + Duration::hours(1))
}
