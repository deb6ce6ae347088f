//! What fields were in earlier versions of their model: `renamed_from`, `upgrade`, `changed_from` and `removed`.

use proc_macro2::{Ident, TokenStream};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::{Attribute, LitStr, Token, Type};

use crate::attr::{Form, Opt, expression, options, shown};
use crate::ctxt::Ctxt;
use crate::ir::Once;
use crate::ir::model::{Default, Name, Rule, Since, version};
use crate::keys::{self, Place};

/// What a version made of a field.
pub(crate) struct Step {
    /// The option's key.
    pub(crate) key: Ident,
    /// The version, and the token that says it.
    pub(crate) version: Since,
    pub(crate) made: Made,
}

/// What became of a field.
pub(crate) enum Made {
    /// `renamed_from("old", in = 2)`
    Renamed { from: Name },
    /// `upgrade(old, with = f, back = g)`
    Upgraded { from: Name, since: Option<Since>, with: TokenStream, back: Option<TokenStream> },
    /// `changed_from(lww, in = 2, back)`; the rule is known by its name only.
    Rule { from: Ident, back: Option<Ident> },
}

impl Step {
    /// The name that the field had before; none if it kept its own.
    pub(crate) fn from(&self) -> Option<&Name> {
        match &self.made {
            Made::Renamed { from } | Made::Upgraded { from, .. } => Some(from),
            Made::Rule { .. } => None,
        }
    }
}

/// `removed(name: Ty = literal, in = 3)` on a model.
pub(crate) struct Removed {
    pub(crate) name: Name,
    pub(crate) rules: Vec<(Ident, Rule)>,
    pub(crate) ty: Option<Type>,
    /// What older versions read in rows that this one creates.
    pub(crate) filler: Option<Default>,
    /// The first version without it.
    pub(crate) version: Since,
    pub(crate) since: Option<Since>,
    pub(crate) steps: Vec<Step>,
}

impl Removed {
    /// How it merged.
    pub(crate) fn rule(&self) -> Rule {
        self.rules.first().map_or(Rule::Lww, |(_, rule)| *rule)
    }

    /// The version that it was there since.
    pub(crate) fn begins(&self) -> u32 {
        begins(self.since.as_ref(), &self.steps)
    }

    /// What was removed, as far as it can be read; what can't be is in `cx`.
    pub(crate) fn read(opt: Opt, cx: &mut Ctxt) -> Option<Self> {
        let list = list(&opt, "rank: i64 = 0, in = 2", cx)?;
        let Gone { attrs, name, ty, filler, opts } = cx.ok(syn::parse2(list))?;
        let rules = rules(&attrs, cx);
        let filler = filler.map(|value| Default { key: opt.key.clone(), value });
        let (mut since, mut until, mut steps, mut once) = (None, None, Vec::new(), Once::default());
        let errors = cx.len();
        for inner in opts {
            if !keys::check(&inner, Place::Removed, cx) {
                continue;
            }
            match inner.name().as_str() {
                "renamed_from" | "upgrade" => steps.extend(step(inner, cx)),
                _ if !once.first(&inner, cx) => {}
                "in" => until = Some(since_of(inner, cx)?),
                _ => since = Some(since_of(inner, cx)?),
            }
        }
        if until.is_none() && cx.len() == errors {
            missing_in(&opt.key, &format!("removed({}, in = 2)", name.text), cx);
        }
        let steps = settled(steps, None, cx);
        Some(Self { name, rules, ty, filler, version: until?, since, steps })
    }
}

/// The version that a field is there since, whatever it was called then: an upgrade says when the column came
/// that it takes, and without a word it always was there.
pub(crate) fn begins(since: Option<&Since>, steps: &[Step]) -> u32 {
    let own = since.map(|since| since.version);
    match steps.first() {
        None => own.unwrap_or(1),
        Some(Step { made: Made::Upgraded { since: Some(since), .. }, .. }) => since.version,
        Some(first) => own.filter(|own| *own < first.version.version).unwrap_or(1),
    }
}

/// A step whose version may not be said yet.
pub(crate) struct Unsettled {
    key: Ident,
    version: Option<Since>,
    made: Made,
    /// Whether its options have an error.
    unclear: bool,
}

/// `renamed_from(..)`, `upgrade(..)` or `changed_from(..)`.
pub(crate) fn step(opt: Opt, cx: &mut Ctxt) -> Option<Unsettled> {
    let errors = cx.len();
    let (version, made) = match opt.name().as_str() {
        "renamed_from" => renamed(&opt, cx)?,
        "upgrade" => upgraded(&opt, cx)?,
        _ => changed(&opt, cx)?,
    };
    Some(Unsettled { key: opt.key, version, made, unclear: cx.len() > errors })
}

/// The steps, oldest first. An upgrade without `in` is by the version that brought the field.
pub(crate) fn settled(steps: Vec<Unsettled>, since: Option<&Since>, cx: &mut Ctxt) -> Vec<Step> {
    let settle = |step: Unsettled| {
        let version = step.version.or_else(|| since.cloned().filter(|_| matches!(step.made, Made::Upgraded { .. })));
        if version.is_none() && !step.unclear {
            let example = match &step.made {
                Made::Renamed { from } => format!("renamed_from(\"{}\", in = 2)", from.text),
                Made::Upgraded { from, with, .. } => format!("upgrade({}, in = 2, with = {})", from.text, shown(with)),
                Made::Rule { from, .. } => format!("changed_from({from}, in = 2)"),
            };
            missing_in(&step.key, &example, cx);
        }
        Some(Step { key: step.key, version: version?, made: step.made })
    };
    let mut steps: Vec<Step> = steps.into_iter().filter_map(settle).collect();
    steps.sort_by_key(|step| step.version.version);
    steps
}

fn missing_in(key: &Ident, example: &str, cx: &mut Ctxt) {
    cx.help(key, format_args!("'{key}' needs the version that made the change"), format_args!("write `{example}`"));
}

fn since_of(opt: Opt, cx: &mut Ctxt) -> Option<Since> {
    let version = version(&opt, if opt.name() == "in" { "2" } else { "1" }, cx)?;
    Some(Since { key: opt.key, version })
}

/// `renamed_from("old", in = 2)`
fn renamed(opt: &Opt, cx: &mut Ctxt) -> Option<(Option<Since>, Made)> {
    let (from, opts) = named(opt, "\"old\", in = 2", cx)?;
    let (mut version, mut once) = (None, Once::default());
    for inner in opts {
        if keys::check(&inner, Place::Renamed, cx) && once.first(&inner, cx) {
            version = Some(since_of(inner, cx)?);
        }
    }
    Some((version, Made::Renamed { from }))
}

/// `upgrade(old, with = f, back = g, in = 2, since = 1)`
fn upgraded(opt: &Opt, cx: &mut Ctxt) -> Option<(Option<Since>, Made)> {
    let (from, opts) = named(opt, "old, with = f, back = g", cx)?;
    let (mut version, mut since, mut with, mut back, mut once) = (None, None, None, None, Once::default());
    let errors = cx.len();
    for inner in opts {
        if !keys::check(&inner, Place::Upgrade, cx) || !once.first(&inner, cx) {
            continue;
        }
        match inner.name().as_str() {
            "in" => version = Some(since_of(inner, cx)?),
            "since" => since = Some(since_of(inner, cx)?),
            "with" => with = Some(inner.value(cx, "function")?),
            _ => back = Some(inner.value(cx, "function")?),
        }
    }
    if with.is_none() && cx.len() == errors {
        let message = format!("'upgrade' needs the function that makes a value of '{}' one of this field", from.text);
        cx.help(&opt.key, message, format_args!("write `upgrade({}, with = |old: OldType| ..)`", from.text));
    }
    Some((version, Made::Upgraded { from, since, with: with?, back }))
}

/// `changed_from(lww, in = 2, back)`
fn changed(opt: &Opt, cx: &mut Ctxt) -> Option<(Option<Since>, Made)> {
    let list = list(opt, "lww, in = 2", cx)?;
    let parse = |input: ParseStream<'_>| Ok((Ident::parse_any(input)?, rest(input)?));
    let Ok((from, opts)) = parse.parse2(list.clone()) else {
        cx.help(list, "'changed_from' begins with the rule of before", "write `changed_from(lww, in = 2)`");
        return None;
    };
    let (mut version, mut back, mut once) = (None, None, Once::default());
    for inner in opts {
        if !keys::check(&inner, Place::Changed, cx) || !once.first(&inner, cx) {
            continue;
        }
        if inner.name() == "in" {
            version = Some(since_of(inner, cx)?);
        } else {
            inner.word(cx);
            back = Some(inner.key);
        }
    }
    Some((version, Made::Rule { from, back }))
}

/// The list after an option that is nothing without one.
fn list(opt: &Opt, example: &str, cx: &mut Ctxt) -> Option<TokenStream> {
    if let Form::List(list) = &opt.form
        && !list.is_empty()
    {
        return Some(list.clone());
    }
    let key = opt.name();
    cx.help(&opt.key, format_args!("'{key}' says what was before"), format_args!("write `{key}({example})`"));
    None
}

/// The list after an option that begins with a name, which may be text.
fn named(opt: &Opt, example: &str, cx: &mut Ctxt) -> Option<(Name, Vec<Opt>)> {
    let tokens = list(opt, example, cx)?;
    let parse = |input: ParseStream<'_>| Ok((name(input)?, rest(input)?));
    match parse.parse2(tokens.clone()) {
        Ok(parsed) => Some(parsed),
        Err(error) if name.parse2(first(&tokens)).is_ok() => {
            cx.syntax(error);
            None
        }
        Err(_) => {
            let key = opt.name();
            let message = format!("'{key}' begins with the name that the column had");
            cx.help(tokens, message, format_args!("write `{key}({example})`"));
            None
        }
    }
}

fn first(tokens: &TokenStream) -> TokenStream {
    tokens.clone().into_iter().take(1).collect()
}

fn name(input: ParseStream<'_>) -> syn::Result<Name> {
    if input.peek(LitStr) {
        let text: LitStr = input.parse()?;
        return Ok(Name { text: text.value(), span: text.span() });
    }
    if input.peek(Token![in]) {
        return Err(input.error("expected the name that the column had"));
    }
    let ident = Ident::parse_any(input)?;
    Ok(Name { text: ident.unraw().to_string(), span: ident.span() })
}

/// The options after the first thing of a list.
fn rest(input: ParseStream<'_>) -> syn::Result<Vec<Opt>> {
    if input.is_empty() {
        return Ok(Vec::new());
    }
    input.parse::<Token![,]>()?;
    Ok(Punctuated::<Opt, Token![,]>::parse_terminated(input)?.into_iter().collect())
}

/// What is in `removed(..)`.
struct Gone {
    attrs: Vec<Attribute>,
    name: Name,
    ty: Option<Type>,
    filler: Option<TokenStream>,
    opts: Vec<Opt>,
}

impl Parse for Gone {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let attrs = Attribute::parse_outer(input)?;
        let name = name(input)?;
        let ty = input.parse::<Option<Token![:]>>()?.map(|_| input.parse()).transpose()?;
        let filler = input.parse::<Option<Token![=]>>()?.map(|_| expression(input)).transpose()?;
        Ok(Self { attrs, name, ty, filler, opts: rest(input)? })
    }
}

/// The merge rules that `#[crdt(..)]` names.
fn rules(attrs: &[Attribute], cx: &mut Ctxt) -> Vec<(Ident, Rule)> {
    let mut rules = Vec::new();
    for opt in options(attrs, "crdt", cx) {
        if keys::check(&opt, Place::Gone, cx) {
            opt.word(cx);
        }
        rules.extend(Rule::named(&opt.name()).map(|rule| (opt.key, rule)));
    }
    rules
}
