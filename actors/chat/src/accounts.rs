//! Accounts and tokens: who is asking.
//!
//! A token is `base64url(user id).base64url(seconds).base64url(hmac)`; clients read the user id
//! out of the first part (Discord docs, Reference, "Authentication"). The HMAC-SHA-256 covers the
//! first two parts and the account's token generation, under a secret made once per installation.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use hmac::{Hmac, Mac};
use model::application::{self, Application};
use model::user::{Account, User};
use model::{Id, UserId, snowflake};
use sha2::Sha256;
use storage::DataService;
use storage::store::Write;

use crate::chat::Chat;
use crate::clock;
use crate::error::{ChatError, Missing, Result};

/// Longest token looked at; longer ones are refused unread.
pub const TOKEN_BYTES_MAX: usize = 256;

const SECRET_SETTING: &str = "token_secret";

/// The key tokens are signed with.
#[derive(Clone)]
pub struct Secret(Arc<[u8; 32]>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Secret {
    /// The installation's secret, made and stored at the first start.
    ///
    /// # Errors
    /// When the store cannot be read or written, or holds something else under that name.
    pub async fn load_or_create(data: &DataService) -> Result<Self> {
        if let Some(bytes) = data.setting(SECRET_SETTING).await? {
            let bytes: [u8; 32] = bytes.try_into().map_err(|_| {
                ChatError::Internal("the stored token secret is not 32 bytes".to_owned())
            })?;
            return Ok(Self(Arc::new(bytes)));
        }
        let bytes: [u8; 32] = rand::random();
        data.commit(vec![Write::PutSetting(
            SECRET_SETTING.to_owned(),
            bytes.to_vec(),
        )])
        .await?;
        Ok(Self(Arc::new(bytes)))
    }

    fn mac(&self, signed: &str, generation: u32) -> Hmac<Sha256> {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&*self.0).expect("HMAC takes keys of any length");
        mac.update(signed.as_bytes());
        mac.update(&generation.to_be_bytes());
        mac
    }

    /// A token for `account`, issued at `unix_seconds`.
    pub fn issue(&self, account: &Account, unix_seconds: u64) -> String {
        let id = BASE64.encode(account.user.id.to_string());
        let signed = format!("{id}.{}", BASE64.encode(unix_seconds.to_be_bytes()));
        let mac = self
            .mac(&signed, account.token_generation)
            .finalize()
            .into_bytes();
        format!("{signed}.{}", BASE64.encode(mac))
    }

    /// Whether `token` was issued for `account` (compared in constant time).
    pub fn verify(&self, token: &str, account: &Account) -> bool {
        let Some((signed, mac)) = token.rsplit_once('.') else {
            return false;
        };
        let Ok(mac) = BASE64.decode(mac) else {
            return false;
        };
        self.mac(signed, account.token_generation)
            .verify_slice(&mac)
            .is_ok()
    }
}

/// The user id a token claims; not yet proven.
pub fn claimed_user(token: &str) -> Option<UserId> {
    if token.len() > TOKEN_BYTES_MAX {
        return None;
    }
    let (id, _) = token.split_once('.')?;
    let id = BASE64.decode(id.trim_end_matches('=')).ok()?;
    std::str::from_utf8(&id)
        .ok()?
        .parse::<u64>()
        .ok()
        .and_then(Id::new_checked)
}

/// The account a token belongs to. `Bot ` and `Bearer ` prefixes are tolerated.
///
/// # Errors
/// [`ChatError::Unauthorized`] when the token is not ours, or an older generation.
pub async fn authenticate(chat: &Chat, token: &str) -> Result<Account> {
    let token = token.trim();
    let token = token
        .strip_prefix("Bot ")
        .or_else(|| token.strip_prefix("Bearer "))
        .unwrap_or(token)
        .trim();
    let user = claimed_user(token).ok_or(ChatError::Unauthorized)?;
    let account = chat
        .data()
        .account(user)
        .await?
        .ok_or(ChatError::Unauthorized)?;
    if !chat.secret().verify(token, &account) {
        return Err(ChatError::Unauthorized);
    }
    Ok(account)
}

/// A fresh token for an account; earlier ones stay valid.
pub fn issue_token(chat: &Chat, account: &Account) -> String {
    chat.secret().issue(account, clock::now_ms() / 1_000)
}

/// The token an account got when it was made: always the same one.
pub fn first_token(chat: &Chat, account: &Account) -> String {
    chat.secret()
        .issue(account, snowflake::timestamp_ms(account.user.id) / 1_000)
}

/// The public part of an account.
///
/// # Errors
/// [`Missing::User`].
pub async fn user(chat: &Chat, id: UserId) -> Result<User> {
    let user = chat
        .user_of(id)
        .await?
        .ok_or(ChatError::NotFound(Missing::User))?;
    Ok(User::clone(&user))
}

/// The whole account.
///
/// # Errors
/// [`Missing::User`].
pub async fn account(chat: &Chat, id: UserId) -> Result<Account> {
    chat.data()
        .account(id)
        .await?
        .ok_or(ChatError::NotFound(Missing::User))
}

/// All accounts, in id order from above `after`.
///
/// # Errors
/// When the store cannot be read.
pub async fn list(chat: &Chat, after: Option<UserId>, limit: usize) -> Result<Vec<Account>> {
    Ok(chat.data().list_accounts(after, limit).await?)
}

/// Makes a bot, with its application; `flags` are application flags (privileged intents).
///
/// # Errors
/// A form error when the name is not 2–32 characters.
pub async fn create_bot(chat: &Chat, name: &str, flags: u64) -> Result<Account> {
    check_name(name)?;
    let id: UserId = chat.ids().next(clock::now_ms());
    let application = Application {
        id: id.cast(),
        name: name.to_owned(),
        description: String::new(),
        flags: flags & application::flags::ALL_PRIVILEGED,
    };
    let account = Account {
        user: User::new(id, name, true),
        email: None,
        application: Some(application),
        token_generation: 0,
    };
    chat.data().create_account(account.clone()).await?;
    Ok(account)
}

/// Makes a person.
///
/// # Errors
/// A form error when the name is not 2–32 characters or is taken.
pub async fn create_user(chat: &Chat, name: &str) -> Result<Account> {
    check_name(name)?;
    let id: UserId = chat.ids().next(clock::now_ms());
    let account = Account {
        user: User::new(id, name, false),
        email: None,
        application: None,
        token_generation: 0,
    };
    chat.data().create_account(account.clone()).await?;
    Ok(account)
}

fn check_name(name: &str) -> Result<()> {
    let mut errors = model::form::FormErrors::new();
    errors.check_length("username", name, 2, 32);
    Ok(errors.into_result()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(id: u64) -> Account {
        Account {
            user: User::new(Id::new(id), "a", true),
            email: None,
            application: None,
            token_generation: 0,
        }
    }

    #[test]
    fn a_token_is_only_good_for_its_account_and_generation() {
        let secret = Secret(Arc::new([7; 32]));
        let mut ann = account(42);
        let token = secret.issue(&ann, 1_700_000_000);
        assert_eq!(claimed_user(&token), Some(Id::new(42)));
        assert!(secret.verify(&token, &ann));
        assert!(!secret.verify(&token, &account(43)) || claimed_user(&token) == Some(Id::new(42)));
        assert!(!Secret(Arc::new([8; 32])).verify(&token, &ann));
        ann.token_generation = 1;
        assert!(!secret.verify(&token, &ann));
    }

    #[test]
    fn broken_tokens_name_nobody() {
        for token in ["", "x", "a.b.c", ".", "MA.x.y", &"A".repeat(300)] {
            assert_eq!(claimed_user(token), None, "{token}");
        }
    }
}
