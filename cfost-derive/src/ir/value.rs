//! What a newtype or an enum with `#[derive(SyncedValue)]` is.

use proc_macro2::TokenStream;
use quote::quote;
use syn::ext::IdentExt;
use syn::{Data, DataEnum, DataStruct, DeriveInput, Fields, Ident, LitStr, Member, Type};

use crate::attr::options;
use crate::ctxt::Ctxt;
use crate::ir::{Once, krate, refuse_generics};
use crate::keys::{self, Place};
use crate::names::nearest;

/// A type with `#[derive(SyncedValue)]`.
pub(crate) struct ValueType {
    pub(crate) ident: Ident,
    /// The path of the `cfost` crate.
    pub(crate) krate: TokenStream,
    pub(crate) shape: Shape,
}

/// What the type is made of.
pub(crate) enum Shape {
    /// A struct with one field.
    Newtype { member: Member, inner: Box<Type> },
    /// Variants without fields; `other` is read for texts that none of them has.
    Enum { variants: Vec<Variant>, other: Ident },
}

/// A variant and the text it is stored as.
pub(crate) struct Variant {
    pub(crate) ident: Ident,
    pub(crate) text: String,
}

impl ValueType {
    /// The type, as far as it can be read; what can't be is in `cx`.
    pub(crate) fn read(input: &DeriveInput, cx: &mut Ctxt) -> Option<Self> {
        refuse_generics(&input.generics, cx);
        let mut path = quote!(::cfost);
        let mut once = Once::default();
        for opt in options(&input.attrs, "synced", cx) {
            if keys::check(&opt, Place::Value, cx) && once.first(&opt, cx) {
                path = krate(&opt, cx).unwrap_or(path);
            }
        }
        let shape = match &input.data {
            Data::Struct(data) => newtype(&input.ident, data, cx),
            Data::Enum(data) => fieldless(&input.ident, data, cx),
            Data::Union(data) => {
                cx.error(data.union_token, "a union can't be stored in a column");
                None
            }
        };
        Some(Self { ident: input.ident.clone(), krate: path, shape: shape? })
    }
}

fn newtype(name: &Ident, data: &DataStruct, cx: &mut Ctxt) -> Option<Shape> {
    let mut fields = data.fields.members().zip(&data.fields);
    let (Some((member, field)), None) = (fields.next(), fields.next()) else {
        let count = data.fields.len();
        cx.help(
            name,
            format_args!("a struct that is stored in one column has one field, '{name}' has {count}"),
            "use one column for each field, or `serde_json::Value`",
        );
        return None;
    };
    for opt in options(&field.attrs, "synced", cx) {
        cx.error(&opt.key, "the field of a newtype has no options");
    }
    Some(Shape::Newtype { member, inner: Box::new(field.ty.clone()) })
}

fn fieldless(name: &Ident, data: &DataEnum, cx: &mut Ctxt) -> Option<Shape> {
    let mut variants: Vec<Variant> = Vec::new();
    let mut other: Option<Ident> = None;
    for variant in &data.variants {
        if !matches!(variant.fields, Fields::Unit) {
            cx.help(
                &variant.fields,
                format_args!("'{}' has fields: an enum is stored as the name of its variant", variant.ident),
                "put the data in columns of its own, or use `serde_json::Value`",
            );
        }
        let text = read_variant(variant, &mut other, cx);
        if let Some(same) = variants.iter().find(|variant| variant.text == text) {
            let message = format!("'{}' and '{}' are both stored as \"{text}\"", same.ident, variant.ident);
            cx.help(&variant.ident, message, "give one another name with `#[synced(rename = \"..\")]`");
        }
        variants.push(Variant { ident: variant.ident.clone(), text });
    }
    if other.is_none() {
        let message =
            format!("enum '{name}' has no fallback variant; a newer app may send one this build does not know");
        let names: Vec<String> = variants.iter().map(|variant| variant.ident.to_string()).collect();
        let likely = ["Other", "Unknown"].into_iter().find_map(|word| nearest(word, names.iter().map(String::as_str)));
        match likely {
            Some(variant) => cx.help(name, message, format_args!("mark `{variant}` with `#[synced(other)]`")),
            None => cx.help(name, message, "mark one variant `#[synced(other)]`"),
        }
    }
    Some(Shape::Enum { variants, other: other? })
}

/// Reads a variant's options and gives the text it is stored as.
fn read_variant(variant: &syn::Variant, other: &mut Option<Ident>, cx: &mut Ctxt) -> String {
    let mut text = variant.ident.unraw().to_string();
    let mut once = Once::default();
    for opt in options(&variant.attrs, "synced", cx) {
        if !keys::check(&opt, Place::Variant, cx) || !once.first(&opt, cx) {
            continue;
        }
        if opt.name() == "rename" {
            let name = opt.parsed::<LitStr>(cx, "a text in quotes", "\"low\"");
            text = name.map_or(text, |name| name.value());
        } else {
            opt.word(cx);
            if let Some(first) = &other {
                let message = format!("'{first}' and '{}' are both marked 'other'", variant.ident);
                cx.help(&opt.key, message, "keep one");
            }
            other.get_or_insert_with(|| variant.ident.clone());
        }
    }
    text
}
