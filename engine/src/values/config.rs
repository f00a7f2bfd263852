//! The session's settings that shape values, as DataFusion hands them to functions and analyzer rules.

use std::any::Any;

use datafusion::common::config::{ConfigEntry, ConfigExtension, ConfigOptions, ExtensionOptions};
use datafusion::error::{DataFusionError, Result};

use super::{EncodeSettings, Zone};

/// [`EncodeSettings`] among DataFusion's options. Not to be set by name: `SET timezone` and its kin make it anew for each statement.
#[derive(Debug, Clone, Default)]
pub struct ValueOptions(pub EncodeSettings);

impl ConfigExtension for ValueOptions {
    const PREFIX: &'static str = "fjord_values";
}

impl ExtensionOptions for ValueOptions {
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
    fn cloned(&self) -> Box<dyn ExtensionOptions> {
        Box::new(self.clone())
    }
    fn set(&mut self, key: &str, _value: &str) -> Result<()> {
        Err(DataFusionError::Configuration(format!("{}.{key} is no setting", ValueOptions::PREFIX)))
    }
    fn entries(&self) -> Vec<ConfigEntry> {
        vec![]
    }
}

impl EncodeSettings {
    /// Those of a statement; outside of a session Postgres's defaults, in the zone that the options name.
    pub fn of_options(options: &ConfigOptions) -> EncodeSettings {
        options.extensions.get::<ValueOptions>().map_or_else(
            || {
                let zone = options.execution.time_zone.as_deref().and_then(|z| Zone::parse(z).ok());
                EncodeSettings { time_zone: zone.unwrap_or(Zone::Utc), ..EncodeSettings::default() }
            },
            |o| o.0.clone(),
        )
    }
}
