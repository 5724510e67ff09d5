//! What survives: engines behind one port, the data service in front of them, blobs.
//!
//! In story order: the port ([`store`], [`fence`], [`upkeep`]), who speaks to it ([`data_service`]), where it ends
//! ([`engine`]), files ([`blob`]), the disk both are on ([`DISK_RESERVE`]), moving it all
//! elsewhere ([`migrate`]), and the suite every engine must pass (`conformance`, feature `testsuite`).

pub mod error;
pub mod store;
pub mod fence;
pub mod upkeep;
pub mod engine;
pub mod data_service;
pub mod blob;
mod room;
pub mod migrate;
#[cfg(any(test, feature = "testsuite"))]
pub mod conformance;

pub use data_service::DataService;
pub use error::StoreError;
pub use fence::Epoch;
pub use room::DISK_RESERVE;
pub use store::Store;
