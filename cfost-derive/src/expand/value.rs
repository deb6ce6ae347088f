//! `impl SyncedValue`.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Member, Type};

use crate::ir::value::{Shape, ValueType, Variant};

/// The implementation for a type that passed all checks.
pub(crate) fn expand(value: &ValueType) -> TokenStream {
    let rt = &{
        let krate = &value.krate;
        quote!(#krate::__private)
    };
    match &value.shape {
        Shape::Newtype { member, inner } => newtype(&value.ident, member, inner, rt),
        Shape::Enum { variants, other } => fieldless(&value.ident, variants, other, rt),
    }
}

/// A newtype does what its field does. Whether that includes being a row's id, searched or a counter only
/// the field's type knows, so those implementations have it as a condition; the `for<'a>` keeps rustc
/// from refusing a condition that it already knows to be false.
fn newtype(name: &Ident, member: &Member, inner: &Type, rt: &TokenStream) -> TokenStream {
    let [value, id] = ["value", "id"].map(|name| Ident::new(name, Span::mixed_site()));
    // Spanned at the field's type, so that rustc takes its errors about the type for one.
    let as_value = |name: &str| {
        let name = Ident::new(name, inner.span());
        quote_spanned!(inner.span()=> <#inner as #rt::SyncedValue>::#name)
    };
    let [sql_type, literal, encode, decode] = ["TYPE", "Literal", "encode", "decode"].map(as_value);
    quote! {
        #[automatically_derived]
        impl #rt::SyncedValue for #name {
            const TYPE: #rt::SqlType = #sql_type;
            type Literal = #literal;
            fn encode(&self) -> #rt::Result<#rt::ValueRef<'_>, #rt::ValueError> {
                #encode(&self.#member)
            }
            fn decode(#value: #rt::ValueRef<'_>) -> #rt::Result<Self, #rt::ValueError> {
                #rt::Ok(Self { #member: #decode(#value)? })
            }
        }
        #[automatically_derived]
        impl #rt::RowId for #name
        where
            for<'a> #inner: #rt::RowId,
            for<'a> #name: #rt::Copy,
        {
            fn to_uuid(self) -> #rt::Uuid {
                <#inner as #rt::RowId>::to_uuid(self.#member)
            }
            fn from_uuid(#id: #rt::Uuid) -> Self {
                Self { #member: <#inner as #rt::RowId>::from_uuid(#id) }
            }
        }
        #[automatically_derived]
        impl #rt::Search for #name
        where
            for<'a> #inner: #rt::Search,
        {
        }
        #[automatically_derived]
        impl #rt::MergeAs<#rt::Counter> for #name
        where
            for<'a> #inner: #rt::MergeAs<#rt::Counter>,
        {
            const RULE: #rt::MergeRule = <#inner as #rt::MergeAs<#rt::Counter>>::RULE;
            fn from_merged(#value: #rt::ValueRef<'_>) -> #rt::Result<Self, #rt::ValueError> {
                #rt::Ok(Self { #member: <#inner as #rt::MergeAs<#rt::Counter>>::from_merged(#value)? })
            }
        }
    }
}

/// An enum is its variant's text. A text of no variant reads as the variant marked `other`.
fn fieldless(name: &Ident, variants: &[Variant], other: &Ident, rt: &TokenStream) -> TokenStream {
    let value = Ident::new("value", Span::mixed_site());
    let idents = variants.iter().map(|variant| &variant.ident);
    let texts = variants.iter().map(|variant| &variant.text);
    let known = variants.iter().filter(|variant| variant.ident != *other);
    let (known_texts, known_idents): (Vec<_>, Vec<_>) = known.map(|variant| (&variant.text, &variant.ident)).unzip();
    quote! {
        #[automatically_derived]
        #[allow(deprecated)]
        impl #rt::SyncedValue for #name {
            const TYPE: #rt::SqlType = #rt::SqlType::Text;
            type Literal = &'static #rt::str;
            fn encode(&self) -> #rt::Result<#rt::ValueRef<'_>, #rt::ValueError> {
                #rt::Ok(#rt::text(match self { #(Self::#idents => #texts),* }))
            }
            fn decode(#value: #rt::ValueRef<'_>) -> #rt::Result<Self, #rt::ValueError> {
                #rt::Ok(match #rt::text_of(&#value)? {
                    #(#known_texts => Self::#known_idents,)*
                    _ => Self::#other,
                })
            }
        }
    }
}
