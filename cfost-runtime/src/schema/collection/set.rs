//! Sets: present or absent elements.

use std::collections::BTreeSet;

use super::{CollectAs, Element};
use crate::schema::rule::Set;
use crate::schema::{MergeRule, SqlType, SyncedValue, ValueError};

impl<T: SyncedValue + Ord> CollectAs<Set> for BTreeSet<T> {
    const RULE: MergeRule = MergeRule::Set;
    const KEY: SqlType = T::TYPE;
    const VALUE: Option<(SqlType, bool)> = None;

    fn elements(&self) -> Result<Vec<Element<'_>>, ValueError> {
        self.iter().map(|element| Ok(Element { key: element.encode()?, position: None, value: None })).collect()
    }

    fn from_elements(elements: Vec<Element<'_>>) -> Result<Self, ValueError> {
        elements.into_iter().map(|element| T::decode(element.key)).collect()
    }
}
