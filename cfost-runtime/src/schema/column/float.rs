//! Floats: REAL.

use super::SyncedValue;
use crate::schema::{SqlType, ValueError, ValueRef};

/// A float as it is stored. NaN equals nothing, itself included, so replicas couldn't agree on it;
/// SQLite keeps no negative zero, so adding 0.0 makes it the positive one, which it equals.
fn real(value: f64) -> Result<ValueRef<'static>, ValueError> {
    if value.is_nan() { Err(ValueError::Nan) } else { Ok(ValueRef::Real(value + 0.0)) }
}

macro_rules! floats {
    ($($type:ident),*) => {$(
        impl SyncedValue for $type {
            const TYPE: SqlType = SqlType::Real;

            type Literal = Self;

            fn encode(&self) -> Result<ValueRef<'_>, ValueError> {
                real((*self).into())
            }

            fn decode(value: ValueRef<'_>) -> Result<Self, ValueError> {
                match value {
                    ValueRef::Real(value) if !value.is_nan() => Ok(value as Self),
                    ValueRef::Real(_) => Err(ValueError::Nan),
                    other => Err(ValueError::Kind { expected: "a float", found: other.kind() }),
                }
            }
        }
    )*};
}

floats!(f32, f64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_float_comes_back_as_it_was_stored() {
        for value in [0.0, 0.1, -1.5, f32::MAX, f32::MIN_POSITIVE, f32::INFINITY, f32::NEG_INFINITY] {
            assert_eq!(f32::decode(value.encode().unwrap()).unwrap().to_bits(), value.to_bits());
        }
        for value in [0.0, 0.1, f64::MAX, f64::EPSILON, f64::INFINITY] {
            assert_eq!(f64::decode(value.encode().unwrap()).unwrap().to_bits(), value.to_bits());
        }
    }

    #[test]
    fn nan_is_refused_and_the_error_names_the_way_out() {
        let error = f32::NAN.encode().unwrap_err();
        assert_eq!(error, ValueError::Nan);
        assert!(error.to_string().contains("use `Option<f64>`"), "{error}");
        assert_eq!(f64::decode(ValueRef::Real(f64::NAN)), Err(ValueError::Nan));
    }

    #[test]
    fn negative_zero_is_stored_as_zero() {
        let ValueRef::Real(stored) = (-0.0_f64).encode().unwrap() else { panic!("not a float") };
        assert_eq!(stored.to_bits(), 0.0_f64.to_bits());
    }
}
