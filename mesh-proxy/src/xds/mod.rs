//! The control thread: configuration by ADS.
