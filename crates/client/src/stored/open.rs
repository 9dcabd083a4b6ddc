//! Opening the store that settings name, in one place whoever delivers from it.

use std::error::Error;
use std::fmt;

use mainstay_config::settings::Outbox;
use mainstay_outbox::store::{Access, OpenError, PostgresAddress, PostgresSettings, WrongAddress};
use mainstay_outbox::{Keys, Limits, Store};

/// Why a store can't be opened.
#[derive(Debug)]
pub enum Unopened {
    /// The store itself.
    Store(OpenError),
    /// The database's URL.
    Address(WrongAddress),
}

impl fmt::Display for Unopened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::Address(error) => write!(f, "the outbox's database: {error}"),
        }
    }
}

impl Error for Unopened {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Store(error) => error.source(),
            Self::Address(error) => error.source(),
        }
    }
}

/// Opens the store that these settings name: for whoever delivers from it, or for a visitor.
///
/// It waits for the disk, or for the database: not for an async task.
///
/// # Errors
///
/// [`Unopened`]. Nothing was changed, then.
pub fn open(settings: &Outbox, keys: Keys, access: Access) -> Result<Store, Unopened> {
    let limits = Limits {
        items: settings.items,
        bytes: settings.bytes,
        lane_items: settings.lane_items,
        reserve_bytes: settings.reserve_bytes,
    };
    let Outbox { postgres, postgres_file, postgres_env, .. } = settings;
    let address = match (postgres, postgres_file, postgres_env) {
        (Some(url), ..) => PostgresAddress::parse(url),
        (None, Some(file), _) => PostgresAddress::of_file(file),
        (None, None, Some(name)) => PostgresAddress::of_env(name),
        (None, None, None) => {
            return Store::open(&settings.path, keys, limits, access).map_err(Unopened::Store);
        }
    };
    let settings = PostgresSettings {
        address: address.map_err(Unopened::Address)?,
        schema: settings.schema.clone(),
        lease: settings.lease,
    };
    Store::open_postgres(settings, keys, limits, access).map_err(Unopened::Store)
}
