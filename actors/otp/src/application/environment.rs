//! The environment of applications: values by application and key, read without asking anybody.

use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;

use crate::application::{Application, ApplicationError};

/// How many values the environments of all applications of a node hold. One more is refused.
pub const ENVIRONMENT_MAX: usize = 65_536;

/// A value of an environment: anything that can be shared.
pub type EnvironmentValue = Arc<dyn Any + Send + Sync>;

/// The values of one application, by key.
type Own = HashMap<Arc<str>, Entry>;

/// What was changed in the environment of an application, by key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigChange {
    /// Keys that have another value now.
    pub changed: Vec<Arc<str>>,
    /// Keys that had none before.
    pub new: Vec<Arc<str>>,
    /// Keys that have none any more.
    pub removed: Vec<Arc<str>>,
}

struct Entry {
    value: EnvironmentValue,
    /// Loading the application does not put its default in its place.
    persistent: bool,
}

#[derive(Default)]
pub(super) struct Environment {
    entries: RwLock<HashMap<Arc<str>, Own>>,
}

impl Environment {
    pub(super) fn get(&self, application: &str, key: &str) -> Option<EnvironmentValue> {
        let entries = self.entries.read();
        Some(entries.get(application)?.get(key)?.value.clone())
    }

    /// Sets a value; tells whether there was one before.
    pub(super) fn set(
        &self,
        application: &str,
        key: Arc<str>,
        value: EnvironmentValue,
        persistent: bool,
    ) -> Result<bool, ApplicationError> {
        let mut entries = self.entries.write();
        let count: usize = entries.values().map(HashMap::len).sum();
        let own = entries.entry(application.into()).or_default();
        if count >= ENVIRONMENT_MAX && !own.contains_key(&key) {
            return Err(ApplicationError::TooMany);
        }
        Ok(own.insert(key, Entry { value, persistent }).is_some())
    }

    /// Takes a value out; tells whether there was one.
    pub(super) fn unset(&self, application: &str, key: &str) -> bool {
        let mut entries = self.entries.write();
        let own = entries.get_mut(application);
        own.is_some_and(|own| own.remove(key).is_some())
    }

    /// Sets the defaults of an application, except where a persistent value is.
    pub(super) fn load(&self, application: &Application) -> Result<(), ApplicationError> {
        for (key, value) in &application.env {
            let kept = {
                let entries = self.entries.read();
                let own = entries.get(&application.name);
                own.and_then(|own| own.get(key))
                    .is_some_and(|entry| entry.persistent)
            };
            if !kept {
                self.set(&application.name, key.clone(), value.clone(), false)?;
            }
        }
        Ok(())
    }

    /// Forgets what is not persistent.
    pub(super) fn unload(&self, application: &str) {
        if let Some(own) = self.entries.write().get_mut(application) {
            own.retain(|_, entry| entry.persistent);
        }
    }
}
