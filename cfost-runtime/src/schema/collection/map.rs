//! Maps: a cell per key.

use std::collections::BTreeMap;

use super::{CollectAs, Element, value};
use crate::schema::rule::Map;
use crate::schema::{Column, MergeRule, SqlType, SyncedValue, ValueError};

impl<K: SyncedValue + Ord, V: Column> CollectAs<Map> for BTreeMap<K, V> {
    const RULE: MergeRule = MergeRule::Map;
    const KEY: SqlType = K::TYPE;
    const VALUE: Option<(SqlType, bool)> = Some((V::TYPE, V::NULLABLE));

    fn elements(&self) -> Result<Vec<Element<'_>>, ValueError> {
        let mut elements = Vec::with_capacity(self.len());
        for (key, value) in self {
            elements.push(Element { key: key.encode()?, position: None, value: Some(value.encode()?) });
        }
        Ok(elements)
    }

    fn from_elements(elements: Vec<Element<'_>>) -> Result<Self, ValueError> {
        elements.into_iter().map(|element| Ok((K::decode(element.key)?, value(element.value)?))).collect()
    }
}
