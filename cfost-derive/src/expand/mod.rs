//! Writes the code.

mod past;
pub(crate) mod synced;
mod value;

use proc_macro2::TokenStream;
use quote::quote;
use syn::DeriveInput;

use crate::ctxt::Ctxt;
use crate::ir::model::{Field, Model};
use crate::ir::value::ValueType;
use crate::{check, fallback};

/// The expansion of `#[derive(Synced)]`: the implementation, or errors and a stub.
pub(crate) fn synced(input: &DeriveInput) -> TokenStream {
    let mut cx = Ctxt::default();
    let mut model = Model::read(input, &mut cx);
    if let Some(model) = &mut model {
        check::model(model, &mut cx);
        // A table gains columns after those it has, and rows know theirs by their place.
        model.fields.sort_by_key(Field::begins);
    }
    match (cx.finish(), &model) {
        (None, Some(model)) => synced::expand(model),
        (errors, model) => {
            let stub = fallback::synced(input, model.as_ref());
            quote!(#errors #stub)
        }
    }
}

/// The expansion of `#[derive(SyncedValue)]`: the implementation, or errors and a stub.
pub(crate) fn synced_value(input: &DeriveInput) -> TokenStream {
    let mut cx = Ctxt::default();
    let value = ValueType::read(input, &mut cx);
    match (cx.finish(), &value) {
        (None, Some(value)) => value::expand(value),
        (errors, value) => {
            let stub = fallback::synced_value(input, value.as_ref());
            quote!(#errors #stub)
        }
    }
}
