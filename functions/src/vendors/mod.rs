//! A team's secrets at bot vendors. With a vendor's secret, token URLs can verify that the vendor made a call.

pub mod secret;
