//! Integers and booleans: INTEGER.

use super::{MergeAs, SyncedValue};
use crate::schema::{Counter, MergeRule, SqlType, ValueError, ValueRef};

/// The integer in a stored value.
fn integer(value: &ValueRef<'_>) -> Result<i64, ValueError> {
    match value {
        ValueRef::Integer(value) => Ok(*value),
        other => Err(ValueError::Kind { expected: "an integer", found: other.kind() }),
    }
}

fn out_of_range(value: impl ToString, target: &'static str) -> ValueError {
    ValueError::OutOfRange { value: value.to_string(), target }
}

macro_rules! integers {
    ($($type:ident),*) => {$(
        impl SyncedValue for $type {
            const TYPE: SqlType = SqlType::Integer;

            type Literal = Self;

            fn encode(&self) -> Result<ValueRef<'_>, ValueError> {
                i64::try_from(*self)
                    .map(ValueRef::Integer)
                    .map_err(|_| out_of_range(*self, "a column, which holds integers up to i64::MAX"))
            }

            fn decode(value: ValueRef<'_>) -> Result<Self, ValueError> {
                let value = integer(&value)?;
                Self::try_from(value).map_err(|_| out_of_range(value, stringify!($type)))
            }
        }
    )*};
}

integers!(i8, i16, i32, i64, isize, u8, u16, u32, u64, usize);

macro_rules! counters {
    ($($type:ident),*) => {$(
        impl MergeAs<Counter> for $type {
            const RULE: MergeRule = MergeRule::Counter;

            fn from_merged(value: ValueRef<'_>) -> Result<Self, ValueError> {
                let sum = integer(&value)?;
                Ok(Self::try_from(sum).unwrap_or(if sum < 0 { Self::MIN } else { Self::MAX }))
            }
        }
    )*};
}

counters!(i8, i16, i32, i64);

impl SyncedValue for bool {
    const TYPE: SqlType = SqlType::Integer;

    type Literal = Self;

    fn encode(&self) -> Result<ValueRef<'_>, ValueError> {
        Ok(ValueRef::Integer((*self).into()))
    }

    fn decode(value: ValueRef<'_>) -> Result<Self, ValueError> {
        match integer(&value)? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(ValueError::Invalid { target: "bool", reason: format!("{other} is neither 0 nor 1") }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_integer_comes_back_as_it_was_stored() {
        fn check<T: SyncedValue + PartialEq + std::fmt::Debug>(values: impl IntoIterator<Item = T>) {
            for value in values {
                let stored = value.encode().unwrap().into_owned();
                assert_eq!(T::decode(stored.as_ref()).unwrap(), value);
            }
        }
        check([i64::MIN, -1, 0, 1, i64::MAX]);
        check([i8::MIN, 0, i8::MAX]);
        check([0, u32::MAX]);
        check([0, i64::MAX as u64]);
        check([0, i64::MAX as usize]);
        check([isize::MIN, isize::MAX]);
        check([false, true]);
    }

    #[test]
    fn an_unsigned_integer_beyond_i64_is_refused_with_its_value() {
        let error = u64::MAX.encode().unwrap_err();
        assert_eq!(
            error.to_string(),
            "18446744073709551615 is out of range for a column, which holds integers up to i64::MAX"
        );
    }

    #[test]
    fn a_stored_integer_beyond_the_fields_type_is_an_error_and_does_not_wrap() {
        assert_eq!(u8::decode(ValueRef::Integer(256)).unwrap_err().to_string(), "256 is out of range for u8");
        assert_eq!(u64::decode(ValueRef::Integer(-1)).unwrap_err().to_string(), "-1 is out of range for u64");
        assert_eq!(bool::decode(ValueRef::Integer(2)).unwrap_err().to_string(), "not a bool: 2 is neither 0 nor 1");
        assert_eq!(i64::decode(ValueRef::Text("1".into())).unwrap_err().to_string(), "expected an integer, found text");
    }

    #[test]
    fn a_counter_whose_sum_left_its_type_still_reads_as_the_nearest_value() {
        let read = |sum| <i8 as MergeAs<Counter>>::from_merged(ValueRef::Integer(sum)).unwrap();
        assert_eq!((read(200), read(127), read(-3), read(-1000)), (i8::MAX, 127, -3, i8::MIN));
    }
}
