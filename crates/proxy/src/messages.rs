//! What the process says about itself, as far as it can be changed while it runs.

use std::fmt;

/// The filter of what a program says on its standard error, which whoever starts the proxy has.
pub trait Messages: fmt::Debug + Send + Sync {
    /// Which targets are heard from which level on: `mainstay=info`.
    fn filter(&self) -> String;

    /// Has these heard from now on.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and what is allowed; then nothing has changed.
    fn set_filter(&self, filter: &str) -> Result<(), String>;
}
