//! What a struct with `#[derive(Synced)]` is.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Fields, Ident, Lit, LitInt, LitStr, Path, Type};

use crate::attr::{Form, Opt, options};
use crate::ctxt::Ctxt;
use crate::ir::past::{self, Removed, Step};
use crate::ir::{Once, krate, refuse_generics};
use crate::keys::{self, Place};
use crate::names::{nearest, snake_case};

/// A struct with `#[derive(Synced)]`.
pub(crate) struct Model {
    pub(crate) ident: Ident,
    /// The path of the `cfost` crate.
    pub(crate) krate: TokenStream,
    pub(crate) table: Name,
    pub(crate) version: u32,
    /// `index(a, b)` on the struct.
    pub(crate) indexes: Vec<Vec<Ident>>,
    /// `delete = wins`
    pub(crate) delete_wins: bool,
    pub(crate) history: bool,
    pub(crate) space: Option<Space>,
    pub(crate) fields: Vec<Field>,
    /// `removed(..)`: the fields of earlier versions.
    pub(crate) removed: Vec<Removed>,
}

/// `space`, or `space = field`
pub(crate) struct Space {
    pub(crate) key: Ident,
    /// The field that names the space of a row; none if each row is one.
    pub(crate) field: Option<Ident>,
}

/// The name of a table or a column, and where it is written.
pub(crate) struct Name {
    pub(crate) text: String,
    pub(crate) span: Span,
}

/// A field of a model. An option is there with its key's token.
pub(crate) struct Field {
    pub(crate) ident: Ident,
    pub(crate) ty: Type,
    pub(crate) column: Name,
    pub(crate) id: Option<Ident>,
    /// The fields in `id(from(a, b))`.
    pub(crate) id_from: Vec<Ident>,
    pub(crate) skip: Option<Ident>,
    pub(crate) index: Option<Ident>,
    pub(crate) renamed: Option<Ident>,
    pub(crate) immutable: Option<Ident>,
    pub(crate) references: Option<References>,
    pub(crate) on_delete: Option<(Ident, OnDelete)>,
    pub(crate) search: Option<Ident>,
    pub(crate) encrypted: Option<Encrypted>,
    pub(crate) default: Option<Default>,
    pub(crate) since: Option<Since>,
    pub(crate) backfill: Option<Default>,
    /// What versions made of the field, oldest first.
    pub(crate) steps: Vec<Step>,
    pub(crate) rules: Vec<(Ident, Rule)>,
    /// Whether the field's options have an error, so that what it was meant to be isn't known.
    pub(crate) unclear: bool,
}

/// `encrypted`, or `encrypted = field`
pub(crate) struct Encrypted {
    pub(crate) key: Ident,
    /// The field that names the space whose key it is sealed with; none for the home space.
    pub(crate) space: Option<Ident>,
}

/// `default = value` or `backfill = value`
pub(crate) struct Default {
    pub(crate) key: Ident,
    pub(crate) value: TokenStream,
}

/// `since = 2` or `in = 2`
#[derive(Clone)]
pub(crate) struct Since {
    pub(crate) key: Ident,
    pub(crate) version: u32,
}

/// `references = Model`
pub(crate) struct References {
    pub(crate) key: Ident,
    pub(crate) model: Path,
}

/// What follows `on_delete =`: a variant of the runtime's `OnDelete`.
#[derive(Clone, Copy)]
pub(crate) enum OnDelete {
    Hide,
    Cascade,
    Keep,
}

/// How a field merges.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    Lww,
    Counter,
    Set,
    Map,
    List,
    Text,
}

impl Rule {
    /// The rules by their names.
    const NAMED: [(&str, Self); 6] = [
        ("lww", Self::Lww),
        ("counter", Self::Counter),
        ("set", Self::Set),
        ("map", Self::Map),
        ("list", Self::List),
        ("text", Self::Text),
    ];

    /// The rule with this name; of a misspelt name the one that was probably meant.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let near = nearest(name, Self::NAMED.map(|(name, _)| name))?;
        Self::NAMED.into_iter().find_map(|(name, rule)| (name == near).then_some(rule))
    }

    /// The rule's name.
    pub(crate) fn word(self) -> &'static str {
        Self::NAMED.into_iter().find_map(|(name, rule)| (rule == self).then_some(name)).unwrap_or_default()
    }

    /// Whether a field with the rule has elements, in a table of their own, and no column.
    pub(crate) fn has_elements(self) -> bool {
        matches!(self, Self::Set | Self::Map | Self::List)
    }
}

impl Name {
    /// A token where the name is written, for errors.
    pub(crate) fn token(&self) -> Ident {
        Ident::new("name", self.span)
    }
}

impl Field {
    /// The field's name without `r#`.
    pub(crate) fn name(&self) -> String {
        self.ident.unraw().to_string()
    }

    /// Whether the field is stored beside the row's id.
    pub(crate) fn is_stored(&self) -> bool {
        self.id.is_none() && self.skip.is_none()
    }

    /// Whether the field is a column of the model's table, other than the row's id.
    pub(crate) fn is_column(&self) -> bool {
        self.is_stored() && !self.rule().has_elements()
    }

    /// Whether the field's elements are in a table of their own.
    pub(crate) fn is_collection(&self) -> bool {
        self.is_stored() && self.rule().has_elements()
    }

    /// The model's version that the field is there since, whatever it was then.
    pub(crate) fn begins(&self) -> u32 {
        past::begins(self.since.as_ref(), &self.steps)
    }

    /// What a stored field holds in rows that were written without it: of a field that came later its backfill.
    pub(crate) fn absent(&self) -> Option<&Default> {
        self.backfill.as_ref().or(self.default.as_ref())
    }

    /// The field's merge rule.
    pub(crate) fn rule(&self) -> Rule {
        self.rules.first().map_or(Rule::Lww, |(_, rule)| *rule)
    }
}

impl Model {
    /// Whether the field names the space that a row lives in.
    pub(crate) fn names_space(&self, field: &Field) -> bool {
        let named = self.space.as_ref().and_then(|space| space.field.as_ref());
        named.is_some_and(|named| named.unraw() == field.ident.unraw())
    }

    /// Whether a field keeps the value that its row was inserted with: it says so, or something else hangs on it.
    pub(crate) fn keeps(&self, field: &Field) -> bool {
        let is_it = |name: &Ident| name.unraw() == field.ident.unraw();
        let makes_id = self.fields.iter().flat_map(|field| &field.id_from).any(is_it);
        let names_key = self.fields.iter().filter_map(|field| field.encrypted.as_ref()?.space.as_ref()).any(is_it);
        field.immutable.is_some() || makes_id || names_key || self.names_space(field)
    }

    /// The model, as far as it can be read; what can't be is in `cx`.
    pub(crate) fn read(input: &DeriveInput, cx: &mut Ctxt) -> Option<Self> {
        refuse_generics(&input.generics, cx);
        let fields = named_fields(input, cx);
        let mut model = Self {
            ident: input.ident.clone(),
            krate: quote!(::cfost),
            table: Name { text: snake_case(&input.ident.unraw().to_string()), span: input.ident.span() },
            version: 1,
            indexes: Vec::new(),
            delete_wins: false,
            history: false,
            space: None,
            fields: Vec::new(),
            removed: Vec::new(),
        };
        model.read_options(&input.attrs, cx);
        model.fields = fields?.into_iter().map(|field| Field::read(field, cx)).collect();
        Some(model)
    }

    fn read_options(&mut self, attrs: &[syn::Attribute], cx: &mut Ctxt) {
        for opt in options(attrs, "crdt", cx) {
            cx.help(&opt.key, "`#[crdt(..)]` says how a field merges", "write it on the field");
        }
        let mut once = Once::default();
        for opt in options(attrs, "synced", cx) {
            if !keys::check(&opt, Place::Model, cx) {
                continue;
            }
            match opt.name().as_str() {
                "index" => self.indexes.extend(opt.names(cx)),
                "removed" => self.removed.extend(Removed::read(opt, cx)),
                _ if !once.first(&opt, cx) => {}
                "table" => {
                    if let Some(name) = opt.parsed::<LitStr>(cx, "a name in quotes", "\"todos\"") {
                        self.table = Name { text: name.value(), span: name.span() };
                    }
                }
                "version" => self.version = version(&opt, "1", cx).unwrap_or(self.version),
                "delete" => self.delete_wins = delete_wins(&opt, cx),
                "history" => {
                    opt.word(cx);
                    self.history = true;
                }
                "space" => self.space = space(opt, cx),
                _ => self.krate = krate(&opt, cx).unwrap_or_else(|| self.krate.clone()),
            }
        }
    }
}

impl Field {
    fn read(field: &syn::Field, cx: &mut Ctxt) -> Self {
        let ident = field.ident.clone().unwrap_or_else(|| Ident::new("field", field.span()));
        let column = Name { text: ident.unraw().to_string(), span: ident.span() };
        let ty = field.ty.clone();
        let mut read = Self {
            ident,
            ty,
            column,
            id: None,
            id_from: Vec::new(),
            skip: None,
            index: None,
            renamed: None,
            immutable: None,
            references: None,
            on_delete: None,
            search: None,
            encrypted: None,
            default: None,
            since: None,
            backfill: None,
            steps: Vec::new(),
            rules: Vec::new(),
            unclear: false,
        };
        let errors = cx.len();
        let (mut once, mut steps) = (Once::default(), Vec::new());
        for opt in options(&field.attrs, "synced", cx) {
            if !keys::check(&opt, Place::Field, cx) {
                continue;
            }
            match opt.name().as_str() {
                "renamed_from" | "upgrade" => steps.extend(past::step(opt, cx)),
                _ if once.first(&opt, cx) => read.set(opt, cx),
                _ => {}
            }
        }
        for opt in options(&field.attrs, "crdt", cx) {
            let known = keys::check(&opt, Place::Rule, cx);
            if opt.name() == "changed_from" {
                steps.extend(past::step(opt, cx));
                continue;
            }
            if known {
                opt.word(cx);
            }
            read.rules.extend(Rule::named(&opt.name()).map(|rule| (opt.key, rule)));
        }
        read.steps = past::settled(steps, read.since.as_ref(), cx);
        read.unclear = cx.len() > errors;
        read
    }

    fn set(&mut self, opt: Opt, cx: &mut Ctxt) {
        match opt.name().as_str() {
            "id" => {
                match opt.form {
                    Form::List(_) => self.id_from = id_from(&opt, cx).unwrap_or_default(),
                    Form::Word | Form::Value(_) => opt.word(cx),
                }
                self.id = Some(opt.key);
            }
            "skip" => {
                opt.word(cx);
                self.skip = Some(opt.key);
            }
            "index" => {
                if matches!(opt.form, Form::List(_)) {
                    cx.help(
                        &opt.key,
                        "'index' on a field is over that field",
                        "write `#[synced(index(a, b))]` on the struct",
                    );
                } else {
                    opt.word(cx);
                }
                self.index = Some(opt.key);
            }
            "column" => {
                if let Some(name) = opt.parsed::<LitStr>(cx, "a name in quotes", "\"name\"") {
                    self.column = Name { text: name.value(), span: name.span() };
                }
                self.renamed = Some(opt.key);
            }
            "immutable" => {
                opt.word(cx);
                self.immutable = Some(opt.key);
            }
            "references" => {
                if let Some(model) = opt.model(cx) {
                    self.references = Some(References { key: opt.key, model });
                }
            }
            "on_delete" => {
                if let Some(policy) = on_delete(&opt, cx) {
                    self.on_delete = Some((opt.key, policy));
                }
            }
            "search" => {
                opt.word(cx);
                self.search = Some(opt.key);
            }
            "encrypted" => self.encrypted = encrypted(opt, cx),
            "since" => {
                if let Some(version) = version(&opt, "2", cx) {
                    self.since = Some(Since { key: opt.key, version });
                }
            }
            "backfill" => {
                if let Some(value) = opt.value(cx, "0") {
                    self.backfill = Some(Default { key: opt.key, value });
                }
            }
            _ => {
                if let Some(value) = opt.value(cx, "0") {
                    self.default = Some(Default { key: opt.key, value });
                }
            }
        }
    }
}

impl Default {
    /// The value for rows without a stored field, as an expression of the runtime's `Constant` (its path is
    /// `constant`); none if it is no literal that a column can hold.
    pub(crate) fn constant(&self, constant: &TokenStream) -> Option<TokenStream> {
        let mut tokens = self.value.clone().into_iter().peekable();
        let negative =
            tokens.next_if(|token| matches!(token, proc_macro2::TokenTree::Punct(punct) if punct.as_char() == '-'));
        let minus = negative.is_some().then(|| quote!(-));
        match syn::parse2::<Lit>(tokens.collect()).ok()? {
            Lit::Int(int) => {
                let value: i128 = int.base10_parse().ok()?;
                let value = i64::try_from(if negative.is_some() { -value } else { value }).ok()?;
                let value = proc_macro2::Literal::i64_unsuffixed(value);
                Some(quote!(#constant::Integer(#value)))
            }
            Lit::Float(float) => {
                let value: f64 = float.base10_parse().ok()?;
                let minus = minus.filter(|_| value != 0.0);
                let value = value.is_finite().then(|| proc_macro2::Literal::f64_unsuffixed(value))?;
                Some(quote!(#constant::Real(#minus #value)))
            }
            _ if negative.is_some() => None,
            // SQL's text ends at a NUL.
            Lit::Str(text) if text.value().contains('\0') => None,
            Lit::Str(text) => Some(quote!(#constant::Text(#text))),
            Lit::ByteStr(bytes) => Some(quote!(#constant::Blob(#bytes))),
            Lit::Bool(value) => {
                let value = proc_macro2::Literal::i64_unsuffixed(value.value.into());
                Some(quote!(#constant::Integer(#value)))
            }
            _ => None,
        }
    }
}

/// `version = 1` or `since = 2`, with the first number that makes sense.
pub(crate) fn version(opt: &Opt, first: &str, cx: &mut Ctxt) -> Option<u32> {
    let literal = opt.parsed::<LitInt>(cx, &format!("a whole number from {first}"), first)?;
    let version = literal.base10_parse().ok().filter(|version| *version > 0);
    if version.is_none() {
        let key = opt.name();
        let message = format!("'{key}' is a number from {first} to {}", u32::MAX);
        cx.help(&literal, message, format_args!("start with `{key} = {first}`"));
    }
    version
}

/// `space`, or `space = field`
fn space(opt: Opt, cx: &mut Ctxt) -> Option<Space> {
    if matches!(opt.form, Form::Word) {
        return Some(Space { key: opt.key, field: None });
    }
    let field = opt.parsed::<Ident>(cx, "the name of a field", "list_id")?;
    Some(Space { key: opt.key, field: Some(field) })
}

/// `encrypted`, or `encrypted = field`
fn encrypted(opt: Opt, cx: &mut Ctxt) -> Option<Encrypted> {
    if matches!(opt.form, Form::Word) {
        return Some(Encrypted { key: opt.key, space: None });
    }
    let space = opt.parsed::<Ident>(cx, "the name of a field", "patient_id")?;
    Some(Encrypted { key: opt.key, space: Some(space) })
}

/// `delete = wins`: the one policy that is written, since the other is what a model does without it.
fn delete_wins(opt: &Opt, cx: &mut Ctxt) -> bool {
    let Some(value) = opt.value(cx, "wins") else {
        return false;
    };
    let wins = value.to_string() == "wins";
    if !wins {
        let help = "write `delete = wins`, or remove it: then the later of a delete and an edit wins";
        cx.help(&value, format_args!("'delete' can't be `{value}`"), help);
    }
    wins
}

/// `id(from(a, b))`
fn id_from(opt: &Opt, cx: &mut Ctxt) -> Option<Vec<Ident>> {
    if let Form::List(list) = &opt.form
        && let Ok(from) = syn::parse2::<Opt>(list.clone())
        && from.name() == "from"
    {
        return from.names(cx);
    }
    let help = "write `id(from(email))`, or `id` for an id that is minted";
    cx.help(&opt.key, "'id' can only be made `from` fields", help);
    None
}

/// What follows `on_delete =`.
fn on_delete(opt: &Opt, cx: &mut Ctxt) -> Option<OnDelete> {
    let value = opt.value(cx, "cascade")?;
    let text = value.to_string();
    let help = match text.as_str() {
        "hide" => return Some(OnDelete::Hide),
        "cascade" => return Some(OnDelete::Cascade),
        "keep" => return Some(OnDelete::Keep),
        "restrict" => {
            let help = "use `hide`, which shows the row again when the other one is back";
            cx.help(value, "'restrict' cannot hold while devices write offline", help);
            return None;
        }
        "no_action" | "nothing" => "CFOST's word for it is `keep`".to_owned(),
        _ => match nearest(text.trim_matches('"'), ["hide", "cascade", "keep"]) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "there are `hide`, `cascade`, `keep`".to_owned(),
        },
    };
    cx.help(&value, format_args!("'on_delete' can't be `{text}`"), help);
    None
}

fn named_fields<'a>(input: &'a DeriveInput, cx: &mut Ctxt) -> Option<Vec<&'a syn::Field>> {
    let name = &input.ident;
    match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) => Some(fields.named.iter().collect()),
            Fields::Unnamed(fields) => {
                let help = format!("write `struct {name} {{ #[synced(id)] id: Uuid, .. }}`");
                cx.help(fields, "a model needs named fields: its columns are named after them", help);
                None
            }
            Fields::Unit => {
                let help = format!("write `struct {name} {{ #[synced(id)] id: Uuid }}`");
                cx.help(name, format_args!("'{name}' has no id field"), help);
                None
            }
        },
        Data::Enum(data) => {
            let help = "to store an enum in a column, use `#[derive(SyncedValue)]`";
            cx.help(data.enum_token, "a model is a struct, not an enum", help);
            None
        }
        Data::Union(data) => {
            cx.error(data.union_token, "a model is a struct, not a union");
            None
        }
    }
}
