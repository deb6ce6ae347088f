//! `impl Synced`: one constant.

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;

use crate::expand::past;
use crate::ir::forms::Lines;
use crate::ir::model::{Field, Model, OnDelete, References, Rule};

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

    let lines = Lines::of(model);
    let schema = schema(model, &lines, rt);
    let pushes = stored().map(|field| {
        let (name, ty, tag) = (&field.ident, &field.ty, rule(field.rule(), rt));
        match field.rule() {
            Rule::Lww if field.encrypted.is_some() => quote!(#row.push_encrypted::<#ty>(&#this.#name);),
            Rule::Lww => quote!(#row.push::<#ty>(&#this.#name);),
            Rule::Counter => quote!(#row.push_merged::<#ty, #tag>(&#this.#name);),
            Rule::Text => quote!(#row.push_text::<#ty>(&#this.#name);),
            Rule::Set | Rule::Map | Rule::List => quote!(#row.push_elements::<#ty, #tag>(&#this.#name);),
        }
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
    let old_rows = old_rows(model, rt);
    let readable = past::readable(model, &lines, rt);
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
        #old_rows
        #readable
    })
}

/// Items whose names the app doesn't see.
pub(crate) fn in_const(items: &TokenStream) -> TokenStream {
    quote!(const _: () = { #items };)
}

/// The struct of typed columns: its type, the struct, and its one value.
pub(crate) fn columns(model: &Model, rt: &TokenStream) -> (TokenStream, TokenStream, TokenStream) {
    let ident = &model.ident;
    let name = quote::format_ident!("{}Columns", ident.unraw());
    let fields: Vec<_> = model.fields.iter().filter(|field| field.skip.is_none()).collect();
    let declared = fields.iter().map(|field| {
        let (name, ty) = (&field.ident, &field.ty);
        match &field.references {
            Some(references) => {
                let other = referred(references, model);
                quote!(pub #name: <(#ty, #other) as #rt::TypedRef>::RefCol<#ident>)
            }
            None => {
                let column = typed_column(field);
                quote!(pub #name: <#ty as #rt::Typed>::#column<#ident>)
            }
        }
    });
    let values = fields.iter().map(|field| {
        let (name, ty, column) = (&field.ident, typed_column(field), &field.column.text);
        quote!(#name: #rt::#ty::new(#column))
    });
    // Not `derive`d: that would name the fields' types once more, and rustc report an unknown one again.
    let item = quote! {
        #[allow(deprecated, nonstandard_style)]
        pub struct #name { #(#declared),* }
        #[automatically_derived]
        impl #rt::Clone for #name {
            fn clone(&self) -> Self {
                *self
            }
        }
        #[automatically_derived]
        impl #rt::Copy for #name {}
    };
    let value = quote!(#name { #(#values),* });
    (quote!(#name), item, value)
}

/// The name of a field's typed column.
fn typed_column(field: &Field) -> Ident {
    let name = match (&field.references, field.rule()) {
        (Some(_), _) => "RefCol",
        _ if field.encrypted.is_some() => "EncryptedCol",
        (None, Rule::Lww | Rule::Counter) => "Col",
        (None, Rule::Set) => "SetCol",
        (None, Rule::Map) => "MapCol",
        (None, Rule::List) => "ListCol",
        (None, Rule::Text) => "TextCol",
    };
    Ident::new(name, Span::call_site())
}

/// The `ModelSchema`.
fn schema(model: &Model, lines: &Lines<'_>, rt: &TokenStream) -> TokenStream {
    let name = model.ident.unraw().to_string();
    let (table, version) = (&model.table.text, model.version);
    let id = model.fields.iter().find(|field| field.id.is_some()).map(|field| &field.column.text);
    let stored = || model.fields.iter().zip(&lines.fields).filter_map(|(field, line)| Some((field, line.as_ref()?)));
    let columns = stored().filter(|(field, _)| field.is_column()).map(|(field, line)| {
        let (column, was) = (column(field, model, rt), past::was(field, line, rt));
        quote!(#column #was)
    });
    let collections = stored().filter(|(field, _)| field.is_collection()).map(|(field, line)| {
        let (collection, was) = (collection(field, rt), past::was(field, line, rt));
        quote!(#collection #was)
    });
    let (removed, removed_collections) = past::removed(model, lines, rt);
    let indexed = model.fields.iter().filter(|field| field.index.is_some() && field.is_column());
    let over_one = indexed.map(|field| vec![&field.column.text]);
    let columns_of = |names: &[Ident]| -> Vec<&String> {
        let named = |name: &Ident| model.fields.iter().find(|field| field.ident.unraw() == name.unraw());
        names.iter().filter_map(named).map(|field| &field.column.text).collect()
    };
    let over_more = model.indexes.iter().map(|index| columns_of(index));
    let mut indexes: Vec<Vec<&String>> = over_one.chain(over_more).collect();
    let mut kept = Vec::new();
    indexes.retain(|index| {
        !kept.contains(index) && {
            kept.push(index.clone());
            true
        }
    });
    let delete = if model.delete_wins { quote!(Wins) } else { quote!(Latest) };
    let id_from = model.fields.iter().flat_map(|field| columns_of(&field.id_from));
    let search = model.fields.iter().filter(|field| field.search.is_some()).map(|field| search(field, rt));
    let history = model.history;
    let space = space(model, rt);
    quote! {
        #rt::ModelSchema {
            model: #name,
            table: #table,
            version: #version,
            id_column: #id,
            columns: &[#(#columns),*],
            collections: &[#(#collections),*],
            indexes: &[#(#rt::IndexSchema { columns: &[#(#indexes),*] }),*],
            delete: #rt::DeletePolicy::#delete,
            id_from: &[#(#id_from),*],
            search: &[#(#search),*],
            history: #history,
            space: #space,
            removed: #removed,
            removed_collections: #removed_collections,
        }
    }
}

/// What rustc has to say of the fields that have no error yet, for a model that has one elsewhere.
pub(crate) fn type_checks(model: &Model, rt: &TokenStream) -> TokenStream {
    let lines = Lines::of(model);
    let clear = model.fields.iter().zip(&lines.fields).filter(|(field, _)| !field.unclear && field.id.is_none());
    let checks = clear.filter_map(|(field, line)| match (line, &field.default) {
        // What it was is no constant here, and so can't be borrowed for good.
        (Some(_), _) if field.is_collection() => Some(collection(field, rt)),
        (Some(line), _) => {
            let (column, past) = (column(field, model, rt), past::past(field, line, rt));
            Some(quote!((#column, #(#past),*)))
        }
        (None, None) => {
            let ty = &field.ty;
            Some(quote!(<#ty as #rt::Default>::default()))
        }
        (None, Some(_)) => None,
    });
    quote!(const _: fn() = || { #(let _ = #checks;)* };)
}

/// The `ColumnSchema` of a field of one value. It is here that rustc checks that the field's type fits.
fn column(field: &Field, model: &Model, rt: &TokenStream) -> TokenStream {
    let (ty, name, column) = (&field.ty, field.name(), &field.column.text);
    let schema = match field.rule() {
        Rule::Lww if field.encrypted.is_some() => encrypted(field, model, rt),
        Rule::Lww => quote!(#rt::ColumnSchema::lww::<#ty>(#name, #column)),
        Rule::Text => quote!(#rt::ColumnSchema::text::<#ty>(#name, #column)),
        merged => {
            let rule = rule(merged, rt);
            quote!(#rt::ColumnSchema::merged::<#ty, #rule>(#name, #column))
        }
    };
    let immutable = model.keeps(field).then(|| quote!(.immutable()));
    let references = field.references.as_ref().map(|references| {
        let other = referred(references, model);
        let on_delete = match field.on_delete {
            None | Some((_, OnDelete::Hide)) => quote!(Hide),
            Some((_, OnDelete::Cascade)) => quote!(Cascade),
            Some((_, OnDelete::Keep)) => quote!(Keep),
        };
        // Spanned at the model, so that rustc says there that it is none.
        let method = Ident::new("references", references.model.span());
        quote!(.#method::<#ty, #other>(#rt::OnDelete::#on_delete))
    });
    let since = since(field);
    let default = field.absent().and_then(|default| {
        let constant = default.constant(&quote!(#rt::Constant))?;
        let literal = &default.value;
        if field.encrypted.is_some() {
            let literal = quote!({ let literal: <<#ty as #rt::EncryptedField>::Inner as #rt::Column>::Literal = #literal; literal });
            return Some(quote!(.absent_is::<#ty>(#literal, #constant)));
        }
        Some(quote!(.default_to::<#ty>({ let literal: <#ty as #rt::Column>::Literal = #literal; literal }, #constant)))
    });
    quote!(#schema #since #immutable #references #default)
}

/// The schema of an encrypted field. It is here that rustc checks that its type is `Encrypted`, and that a field
/// names the space whose key it is sealed with.
fn encrypted(field: &Field, model: &Model, rt: &TokenStream) -> TokenStream {
    let (ty, name, column) = (&field.ty, field.name(), &field.column.text);
    let named = field.encrypted.as_ref().and_then(|encrypted| encrypted.space.as_ref());
    // What can't name a space is another error.
    let names = |field: &&Field| field.is_column() && field.encrypted.is_none() && field.rule() == Rule::Lww;
    let is_it = |field: &&Field| named.is_some_and(|named| field.ident.unraw() == named.unraw());
    let space = model.fields.iter().filter(names).find(is_it);
    let key = match space {
        None => quote!(#rt::EncryptedFor::Home),
        Some(Field { ty, column, .. }) => {
            let column = &column.text;
            quote!(#rt::EncryptedFor::column::<#ty>(#column))
        }
    };
    quote!(#rt::ColumnSchema::encrypted::<#ty>(#name, #column, #key))
}

/// The version that a field came with.
fn since(field: &Field) -> Option<TokenStream> {
    let version = field.begins();
    (version > 1).then(|| quote!(.since(#version)))
}

/// The same token, shown somewhere else.
pub(crate) fn located(mut token: TokenTree, at: Span) -> TokenTree {
    token.set_span(token.span().located_at(at));
    token
}

/// What rustc is to make sure of: rows from before a field have a value for it. The schema is asked and not the
/// field's type as it is spelt, which may be an `Option` by another name.
fn old_rows(model: &Model, rt: &TokenStream) -> TokenStream {
    let columns = model.fields.iter().filter(|field| field.is_column()).enumerate();
    let checks = columns.filter(|(_, field)| field.begins() > 1 && field.rule() == Rule::Lww).map(|(n, field)| {
        let (ident, span) = (&model.ident, field.ty.span());
        let ty = field.ty.to_token_stream().to_string().replace(' ', "");
        let literal = match ty.as_str() {
            "bool" => "false",
            "f32" | "f64" => "0.0",
            "String" => "\"\"",
            "i8" | "i16" | "i32" | "i64" | "u8" | "u16" | "u32" => "0",
            _ => "..",
        };
        let optional = match field.encrypted {
            Some(_) => "Encrypted<Option<..>>".to_owned(),
            None => format!("Option<{ty}>"),
        };
        let message = format!(
            "field '{}' was added in version {} but old rows have no value for it\n\
             help: use `{optional}`, or add `backfill = {literal}`",
            field.name(),
            field.begins()
        );
        let has_value = quote!(<#ident as #rt::Synced>::SCHEMA.columns[#n].has_value_in_old_rows());
        assertion(span, &has_value, &message, rt)
    });
    checks.collect()
}

/// What rustc makes sure of, or says this here.
pub(crate) fn assertion(at: Span, holds: &TokenStream, message: &str, rt: &TokenStream) -> TokenStream {
    // Where rustc shows what a constant panics with is where the code of the panic is.
    let assert: TokenStream = quote!(#rt::assert!).into_iter().map(|token| located(token, at)).collect();
    quote_spanned!(at=> const _: () = #assert(#holds, "{}", #message);)
}

/// The `CollectionSchema` of a field with elements.
fn collection(field: &Field, rt: &TokenStream) -> TokenStream {
    let (ty, name, column, rule) = (&field.ty, field.name(), &field.column.text, rule(field.rule(), rt));
    let indexed = field.index.is_some().then(|| quote!(.indexed()));
    let since = since(field);
    quote!(#rt::CollectionSchema::of::<#ty, #rule>(#name, #column) #since #indexed)
}

/// The space that a row lives in. It is here that rustc checks that the field's type names one.
fn space(model: &Model, rt: &TokenStream) -> TokenStream {
    match (&model.space, model.fields.iter().find(|field| model.names_space(field))) {
        (Some(_), Some(Field { ty, column, .. })) => {
            let column = &column.text;
            quote!(#rt::names_space::<#ty>(#column))
        }
        (Some(_), None) => quote!(#rt::Placement::Row),
        (None, _) => quote!(#rt::Placement::Home),
    }
}

/// The column whose words are searched.
fn search(field: &Field, rt: &TokenStream) -> TokenStream {
    let (ty, column) = (&field.ty, &field.column.text);
    quote!(#rt::searched::<#ty>(#column))
}

/// The model that a field refers to; `Self` is the struct also where the code is about another type.
fn referred(references: &References, model: &Model) -> TokenStream {
    let (path, ident) = (&references.model, &model.ident);
    if path.is_ident("Self") { quote!(#ident) } else { quote!(#path) }
}

/// The type that stands for a merge rule.
pub(crate) fn rule(rule: Rule, rt: &TokenStream) -> TokenStream {
    let name = match rule {
        Rule::Lww => "Lww",
        Rule::Counter => "Counter",
        Rule::Set => "Set",
        Rule::Map => "Map",
        Rule::List => "List",
        Rule::Text => "Text",
    };
    let name = Ident::new(name, Span::call_site());
    quote!(#rt::rule::#name)
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
        let tag = rule(field.rule(), rt);
        match field.rule() {
            Rule::Lww if field.encrypted.is_some() => quote!(#row.pull_encrypted::<#ty>()?),
            Rule::Lww => quote!(#row.pull::<#ty>()?),
            Rule::Counter => quote!(#row.pull_merged::<#ty, #tag>()?),
            Rule::Text => quote!(#row.pull_text::<#ty>()?),
            Rule::Set | Rule::Map | Rule::List => quote!(#row.pull_elements::<#ty, #tag>()?),
        }
    }
}
