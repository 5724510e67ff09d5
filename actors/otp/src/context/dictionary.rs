//! The process dictionary (`erlang:get/1`, `put/2`, `erase/1`).

use std::any::Any;
use std::sync::Arc;

use crate::context::Context;
use crate::gen_server::GenServer;
use crate::process::DICTIONARY_MAX;

impl<S: GenServer> Context<S> {
    /// Puts a value under a key of the process' own dictionary, in place of what was there. Others
    /// can look at it with [`crate::Node::dictionary`]; nobody else can change it.
    ///
    /// # Panics
    /// With more than [`DICTIONARY_MAX`] keys: keys are names in the code, not data.
    pub fn put<T: Any + Send + Sync>(&mut self, key: &'static str, value: T) {
        let put = self.process.dictionary_put(key, Arc::new(value));
        assert!(
            put.is_ok(),
            "a process dictionary holds {DICTIONARY_MAX} keys at most"
        );
    }

    /// The value under a key, if there is one of this type.
    pub fn get<T: Any + Send + Sync>(&self, key: &str) -> Option<Arc<T>> {
        self.process.dictionary_get(key)?.downcast().ok()
    }

    /// Takes a key out of the dictionary, and its value if that is of this type.
    pub fn erase<T: Any + Send + Sync>(&mut self, key: &str) -> Option<Arc<T>> {
        self.process.dictionary_erase(key)?.downcast().ok()
    }

    /// The keys of the dictionary, in order.
    pub fn keys(&self) -> Vec<&'static str> {
        let info = self.process.info();
        info.map_or(Vec::new(), |info| info.dictionary)
    }
}
