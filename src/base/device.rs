//! Where a stage of the accelerator lane computes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A device. Not part of a stage's key: what is computed does not depend on it beyond rounding,
/// and manifests say on which processor it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Device {
    /// The processor.
    #[default]
    Cpu,
    /// An NVIDIA card, by CUDA's count from 0.
    Cuda(usize),
}

/// Devices that do stages at the same time, one each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Devices(pub Vec<Device>);

impl Default for Devices {
    fn default() -> Self {
        Self(vec![Device::Cpu])
    }
}

impl FromStr for Devices {
    type Err = String;

    /// Reads a list such as `cuda:0,cuda:1`.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut all = Vec::new();
        for part in text.split(',') {
            let device: Device = part.trim().parse()?;
            if all.contains(&device) {
                return Err(format!("`{device}` is named twice"));
            }
            all.push(device);
        }
        Ok(Self(all))
    }
}

impl fmt::Display for Device {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => formatter.write_str("cpu"),
            Self::Cuda(ordinal) => write!(formatter, "cuda:{ordinal}"),
        }
    }
}

impl FromStr for Device {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let ordinal = match text {
            "cpu" => return Ok(Self::Cpu),
            "cuda" | "gpu" => Some(0),
            _ => text
                .strip_prefix("cuda:")
                .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()))
                .and_then(|digits| digits.parse().ok()),
        };
        ordinal.map(Self::Cuda).ok_or_else(|| {
            format!("`{text}` is no device; there are `cpu`, `cuda:0`, `cuda:1` and so on")
        })
    }
}

impl Serialize for Device {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Device {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read_as_people_write_them() {
        assert_eq!("cpu".parse(), Ok(Devices::default()));
        let both = Devices(vec![Device::Cuda(1), Device::Cuda(0)]);
        assert_eq!("cuda:1, cuda:0".parse(), Ok(both));
        assert_eq!("cuda".parse(), Ok(Device::Cuda(0)));
        assert_eq!(Device::Cuda(3).to_string(), "cuda:3");
        for wrong in [
            "cuda:0,cuda",
            "cuda:-1",
            "tpu",
            "",
            "cuda:",
            "cuda:99999999999999999999",
        ] {
            let error = wrong.parse::<Devices>().expect_err("no device");
            assert!(error.contains('`'), "{error}");
        }
    }
}
