//! Points in time: INTEGER, Unix microseconds. Finer fractions are dropped towards the past.

use super::{NoLiteral, SyncedValue};
use crate::schema::{SqlType, ValueError, ValueRef};

/// Microseconds, of nanoseconds.
#[cfg(any(feature = "jiff", feature = "time"))]
fn micros_of(nanos: i128) -> Result<ValueRef<'static>, ValueError> {
    let micros = nanos.div_euclid(1000);
    i64::try_from(micros)
        .map(ValueRef::Integer)
        .map_err(|_| ValueError::OutOfRange { value: micros.to_string(), target: "Unix microseconds in an i64" })
}

/// The stored microseconds as a `target`, whose own range may be narrower.
fn read<T>(value: ValueRef<'_>, target: &'static str, make: impl Fn(i64) -> Option<T>) -> Result<T, ValueError> {
    match value {
        ValueRef::Integer(micros) => {
            make(micros).ok_or_else(|| ValueError::OutOfRange { value: micros.to_string(), target })
        }
        other => Err(ValueError::Kind { expected: "an integer of Unix microseconds", found: other.kind() }),
    }
}

#[cfg(feature = "jiff")]
impl SyncedValue for jiff::Timestamp {
    const TYPE: SqlType = SqlType::Integer;

    type Literal = NoLiteral;

    fn encode(&self) -> Result<ValueRef<'_>, ValueError> {
        micros_of(self.as_nanosecond())
    }

    fn decode(value: ValueRef<'_>) -> Result<Self, ValueError> {
        read(value, "jiff::Timestamp", |micros| Self::from_microsecond(micros).ok())
    }
}

#[cfg(feature = "chrono")]
impl SyncedValue for chrono::DateTime<chrono::Utc> {
    const TYPE: SqlType = SqlType::Integer;

    type Literal = NoLiteral;

    fn encode(&self) -> Result<ValueRef<'_>, ValueError> {
        Ok(ValueRef::Integer(self.timestamp_micros()))
    }

    fn decode(value: ValueRef<'_>) -> Result<Self, ValueError> {
        read(value, "chrono::DateTime<Utc>", Self::from_timestamp_micros)
    }
}

/// Read back in UTC: the offset isn't stored.
#[cfg(feature = "time")]
impl SyncedValue for time::OffsetDateTime {
    const TYPE: SqlType = SqlType::Integer;

    type Literal = NoLiteral;

    fn encode(&self) -> Result<ValueRef<'_>, ValueError> {
        micros_of(self.unix_timestamp_nanos())
    }

    fn decode(value: ValueRef<'_>) -> Result<Self, ValueError> {
        read(value, "time::OffsetDateTime", |micros| Self::from_unix_timestamp_nanos(i128::from(micros) * 1000).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stores `before` nanoseconds after 1970 minus one second, and expects whole microseconds back.
    fn check<T: SyncedValue + PartialEq + std::fmt::Debug>(from_nanos: impl Fn(i128) -> T) {
        for (nanos, micros) in [
            (0, 0),
            (1_999, 1),
            (-1, -1),
            (-1_000, -1),
            (-1_001, -2),
            (1_700_000_000_123_456_789, 1_700_000_000_123_456),
        ] {
            let time = from_nanos(nanos);
            assert_eq!(time.encode().unwrap(), ValueRef::Integer(micros), "{nanos} ns");
            assert_eq!(T::decode(ValueRef::Integer(micros)).unwrap(), from_nanos(i128::from(micros) * 1000));
        }
        let error = T::decode(ValueRef::Integer(i64::MAX)).unwrap_err();
        assert!(matches!(error, ValueError::OutOfRange { .. }), "{error}");
        let error = T::decode(ValueRef::Text("now".into())).unwrap_err();
        assert_eq!(error.to_string(), "expected an integer of Unix microseconds, found text");
    }

    #[cfg(feature = "jiff")]
    #[test]
    fn a_jiff_timestamp_keeps_its_microseconds() {
        check(|nanos| jiff::Timestamp::from_nanosecond(nanos).unwrap());
    }

    #[cfg(feature = "chrono")]
    #[test]
    fn a_chrono_date_time_keeps_its_microseconds() {
        check(|nanos| chrono::DateTime::from_timestamp_nanos(nanos as i64));
    }

    #[cfg(feature = "time")]
    #[test]
    fn a_time_offset_date_time_keeps_its_microseconds() {
        check(|nanos| time::OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap());
    }
}
