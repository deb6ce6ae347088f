//! Stubs for what couldn't be derived, so that the rest of the app compiles and only the real
//! errors show.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Generics};

use crate::attr::options;
use crate::ctxt::Ctxt;
use crate::expand::synced::{columns, in_const, type_checks};
use crate::ir::krate;
use crate::ir::model::Model;
use crate::ir::value::ValueType;

/// `impl Synced` that is never called: the error beside it stops the build.
pub(crate) fn synced(input: &DeriveInput, model: Option<&Model>) -> TokenStream {
    let name = &input.ident;
    let krate = model.map_or_else(|| crate_path(input), |model| model.krate.clone());
    let rt = quote!(#krate::__private);
    let id = model.and_then(|model| model.fields.iter().find(|field| field.id.is_some()));
    let id = id.map_or_else(
        || quote!(#rt::Uuid),
        |field| {
            let ty = &field.ty;
            quote!(#ty)
        },
    );
    let (generics, arguments, bounds) = parts(&input.generics, name, &quote!(#rt::Send + 'static));
    let concrete = model.filter(|_| input.generics.params.is_empty());
    let checks = concrete.map(|model| type_checks(model, &rt));
    let (columns_ty, columns_struct, columns) =
        concrete.map_or_else(|| (quote!(()), TokenStream::new(), quote!(())), |model| columns(model, &rt));
    let stub = in_const(&quote! {
        #columns_struct
        #[automatically_derived]
        impl #generics #rt::Synced for #name #arguments #bounds {
            type Id = #id;
            const TABLE: &'static #rt::str = "";
            type Columns = #columns_ty;
            const MAPPING: #rt::Mapping<Self> = #rt::stub_mapping(#columns);
        }
    });
    quote!(#checks #stub)
}

/// `impl SyncedValue` that is never called, and what else a newtype may be.
pub(crate) fn synced_value(input: &DeriveInput, value: Option<&ValueType>) -> TokenStream {
    let name = &input.ident;
    let krate = value.map_or_else(|| crate_path(input), |value| value.krate.clone());
    let rt = quote!(#krate::__private);
    let literal = match &input.data {
        Data::Enum(_) => quote!(&'static #rt::str),
        Data::Struct(_) | Data::Union(_) => quote!(#rt::NoLiteral),
    };
    let (generics, arguments, bounds) = parts(&input.generics, name, &TokenStream::new());
    let stub = quote! {
        #[automatically_derived]
        impl #generics #rt::SyncedValue for #name #arguments #bounds {
            const TYPE: #rt::SqlType = #rt::SqlType::Blob;
            type Literal = #literal;
            fn encode(&self) -> #rt::Result<#rt::ValueRef<'_>, #rt::ValueError> {
                #rt::stub()
            }
            fn decode(_: #rt::ValueRef<'_>) -> #rt::Result<Self, #rt::ValueError> {
                #rt::stub()
            }
        }
    };
    let newtype = matches!(input.data, Data::Struct(_)) && input.generics.params.is_empty();
    let more = newtype.then(|| {
        quote! {
            #[automatically_derived]
            impl #rt::RowId for #name where for<'a> #name: #rt::Copy {
                fn to_uuid(self) -> #rt::Uuid {
                    #rt::stub()
                }
                fn from_uuid(_: #rt::Uuid) -> Self {
                    #rt::stub()
                }
            }
            #[automatically_derived]
            impl #rt::Search for #name {}
            #[automatically_derived]
            impl #rt::MergeAs<#rt::Counter> for #name {
                const RULE: #rt::MergeRule = #rt::MergeRule::Counter;
                fn from_merged(_: #rt::ValueRef<'_>) -> #rt::Result<Self, #rt::ValueError> {
                    #rt::stub()
                }
            }
        }
    });
    quote!(#stub #more)
}

/// The crate's path when nothing else of the type could be read.
fn crate_path(input: &DeriveInput) -> TokenStream {
    let cx = &mut Ctxt::default();
    let path = options(&input.attrs, "synced", cx).into_iter().find(|opt| opt.name() == "crate");
    path.and_then(|opt| krate(&opt, cx)).unwrap_or_else(|| quote!(::cfost))
}

/// The generics of an implementation whose type meets `bound`.
fn parts(generics: &Generics, name: &syn::Ident, bound: &TokenStream) -> (TokenStream, TokenStream, TokenStream) {
    let (parameters, arguments, clause) = generics.split_for_impl();
    let predicates = clause.map(|clause| &clause.predicates).into_iter().flatten();
    let own = (!bound.is_empty() && !generics.params.is_empty()).then(|| quote!(#name #arguments: #bound));
    let predicates = predicates.map(|predicate| quote!(#predicate)).chain(own);
    (quote!(#parameters), quote!(#arguments), quote!(where #(#predicates),*))
}
