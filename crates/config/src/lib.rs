//! What the user wrote, read into checked settings.

pub mod settings;

pub use settings::Settings;
