//! `impl Synced`: one constant.

use proc_macro2::{Ident, Span, TokenStream};
use quote::quote;
use syn::ext::IdentExt;

use crate::ir::model::{Field, Model, Rule};

/// The implementation for a model that passed all checks.
pub(crate) fn expand(model: &Model) -> TokenStream {
    let rt = &{
        let krate = &model.krate;
        quote!(#krate::__private)
    };
    let ident = &model.ident;
    // Locals of their own hygiene: an app's `default = row` can't see ours.
    let [this, id, row] = ["model", "id", "row"].map(|name| Ident::new(name, Span::mixed_site()));
    let stored = || model.fields.iter().filter(|field| field.is_stored());

    let schema = schema(model, rt);
    let pushes = stored().map(|field| {
        let (name, ty) = (&field.ident, &field.ty);
        quote!(#row.push::<#ty>(&#this.#name);)
    });
    let reads = model.fields.iter().map(|field| {
        let value = read(field, rt, &id, &row);
        let name = &field.ident;
        quote!(#name: #value)
    });
    let id_impl = model.fields.iter().find(|field| field.id.is_some()).map(|field| {
        let (name, ty) = (&field.ident, &field.ty);
        (ty, quote!(|#this| #rt::Clone::clone(&#this.#name)), quote!(|#this, #id| #this.#name = #id))
    });
    let (id_ty, get_id, set_id) = id_impl.into_iter().collect::<(Vec<_>, Vec<_>, Vec<_>)>();

    let table = &model.table.text;
    let (columns_ty, columns_struct, columns) = columns(model, rt);
    in_const(&quote! {
        #columns_struct
        #[automatically_derived]
        #[allow(deprecated)]
        impl #rt::Synced for #ident {
            type Id = #(#id_ty)*;
            const TABLE: &'static #rt::str = #table;
            type Columns = #columns_ty;
            const MAPPING: #rt::Mapping<Self> = #rt::Mapping {
                schema: &#schema,
                columns: #columns,
                id: #(#get_id)*,
                set_id: #(#set_id)*,
                encode: |#this, #row| { #(#pushes)* },
                decode: |#id, #row| #rt::Ok(Self { #(#reads),* }),
            };
        }
    })
}

/// Items whose names the app doesn't see.
pub(crate) fn in_const(items: &TokenStream) -> TokenStream {
    quote!(const _: () = { #items };)
}

/// The struct of typed columns: its type, the struct, and its one value. A field that can't be used as
/// a column is left out.
pub(crate) fn columns(model: &Model, rt: &TokenStream) -> (TokenStream, TokenStream, TokenStream) {
    let ident = &model.ident;
    let name = quote::format_ident!("{}Columns", ident.unraw());
    let fields: Vec<_> = model.fields.iter().filter(|field| field.skip.is_none() && !field.unclear).collect();
    let declared = fields.iter().map(|field| {
        let (field, ty) = (&field.ident, &field.ty);
        quote!(pub #field: #rt::Col<#ident, #ty>)
    });
    let values = fields.iter().map(|field| {
        let (field, column) = (&field.ident, &field.column.text);
        quote!(#field: #rt::Col::new(#column))
    });
    let item = quote! {
        #[derive(::core::clone::Clone, ::core::marker::Copy)]
        #[allow(deprecated)]
        pub struct #name { #(#declared),* }
    };
    let value = quote!(#name { #(#values),* });
    (quote!(#name), item, value)
}

/// The `ModelSchema`.
fn schema(model: &Model, rt: &TokenStream) -> TokenStream {
    let name = model.ident.unraw().to_string();
    let (table, version) = (&model.table.text, model.version);
    let id = model.fields.iter().find(|field| field.id.is_some()).map(|field| &field.column.text);
    let columns = model.fields.iter().filter(|field| field.is_stored()).map(|field| column(field, rt));
    let over_one = model.fields.iter().filter(|field| field.index.is_some()).map(|field| vec![&field.column.text]);
    let over_more = model.indexes.iter().map(|index| {
        let columns = index.iter().filter_map(|name| {
            model.fields.iter().find(|field| field.ident.unraw() == name.unraw()).map(|field| &field.column.text)
        });
        columns.collect()
    });
    let mut indexes: Vec<Vec<&String>> = over_one.chain(over_more).collect();
    let mut kept = Vec::new();
    indexes.retain(|index| {
        !kept.contains(index) && {
            kept.push(index.clone());
            true
        }
    });
    quote! {
        #rt::ModelSchema {
            model: #name,
            table: #table,
            version: #version,
            id_column: #id,
            columns: &[#(#columns),*],
            collections: &[],
            indexes: &[#(#rt::IndexSchema { columns: &[#(#indexes),*] }),*],
            delete: #rt::DeletePolicy::Latest,
            id_from: &[],
            search: &[],
            history: false,
        }
    }
}

/// What rustc has to say of the fields that have no error yet, for a model that has one elsewhere.
pub(crate) fn type_checks(model: &Model, rt: &TokenStream) -> TokenStream {
    let clear = model.fields.iter().filter(|field| !field.unclear && field.id.is_none());
    let checks = clear.filter_map(|field| match (&field.skip, &field.default) {
        (None, _) => Some(column(field, rt)),
        (Some(_), None) => {
            let ty = &field.ty;
            Some(quote!(<#ty as #rt::Default>::default()))
        }
        (Some(_), Some(_)) => None,
    });
    quote!(const _: fn() = || { #(let _ = #checks;)* };)
}

/// The `ColumnSchema` of a stored field. It is here that rustc checks that the field's type fits.
fn column(field: &Field, rt: &TokenStream) -> TokenStream {
    let (ty, name, column) = (&field.ty, field.name(), &field.column.text);
    let schema = match field.rule() {
        Rule::Lww => quote!(#rt::ColumnSchema::lww::<#ty>(#name, #column)),
        Rule::Counter => quote!(#rt::ColumnSchema::merged::<#ty, #rt::Counter>(#name, #column)),
    };
    let default = field.default.as_ref().and_then(|default| {
        let constant = default.constant(&quote!(#rt::Constant))?;
        let literal = &default.value;
        Some(quote!(.default_to::<#ty>({ let literal: <#ty as #rt::Column>::Literal = #literal; literal }, #constant)))
    });
    quote!(#schema #default)
}

/// The expression that reads a field.
fn read(field: &Field, rt: &TokenStream, id: &Ident, row: &Ident) -> TokenStream {
    let ty = &field.ty;
    if field.id.is_some() {
        quote!(#id)
    } else if field.skip.is_some() {
        match &field.default {
            Some(default) => default.value.clone(),
            None => quote!(<#ty as #rt::Default>::default()),
        }
    } else {
        match field.rule() {
            Rule::Lww => quote!(#row.pull::<#ty>()?),
            Rule::Counter => quote!(#row.pull_merged::<#ty, #rt::Counter>()?),
        }
    }
}
