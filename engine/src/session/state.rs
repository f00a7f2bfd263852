//! DataFusion's session state as Fjord wants it: configuration, rules, functions.

use std::sync::Arc;

use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::prelude::SessionConfig;

use parking_lot::RwLock;

use super::types::PostgresTypes;
use super::{SessionInfo, Settings};
use crate::engine::Engine;
use crate::federation::barrier;
use crate::federation::catalogs::{PlanEnv, SEARCH_PATH};
use crate::federation::nanos::WholeMicroseconds;
use crate::federation::scan::{DynamicSettings, ReadSettings};
use crate::federation::soft_limits::SoftLimits;
use crate::federation::tag::TagDynamicFilters;
use crate::functions;
use crate::pushdown::planner::FederationPlanner;
use crate::pushdown::withhold::{self, Withholding};
use crate::values::{EncodeSettings, ValueOptions};

/// Partitions of a plan: the sources bound most queries, and each partition costs memory.
const PARTITIONS: usize = 2;
/// Values of a join's build side that are offered to the other side's source; beyond, only their bounds.
const IN_LIST_VALUES: usize = 20_000;
/// Memory of such a list.
const IN_LIST_BYTES: usize = 4 << 20;
/// Buffer of a sorted scan before it is merged, instead of DataFusion's 1 GiB.
const SORT_BUFFER_BYTES: usize = 16 << 20;

fn config(engine: &Engine) -> SessionConfig {
    let mut config = SessionConfig::new()
        .with_default_catalog_and_schema(&engine.database, SEARCH_PATH)
        .with_create_default_catalog_and_schema(false)
        .with_information_schema(false)
        .with_target_partitions(PARTITIONS);
    let options = config.options_mut();
    // Views make LIKE cast its column, which then matches no pushdown rule.
    options.sql_parser.map_string_types_to_utf8view = false;
    // `1.5` is a numeric, as in Postgres: read as a double, `price = 99999999.99` would find nothing.
    options.sql_parser.parse_float_as_decimal = true;
    // It compares the fields' metadata too, which rules of DataFusion's optimizer lose now and then (an alias that is folded into a cast): what a client
    // is told of its columns is decided before that.
    options.execution.skip_physical_aggregate_schema_check = true;
    options.sql_parser.dialect = datafusion::config::Dialect::PostgreSQL;
    // A buffered probe side would be polled before the build side has made its filter.
    options.execution.hash_join_buffering_capacity = 0;
    options.execution.sort_pushdown_buffer_capacity = SORT_BUFFER_BYTES;
    options.optimizer.hash_join_inlist_pushdown_max_size = IN_LIST_BYTES;
    options.optimizer.hash_join_inlist_pushdown_max_distinct_values = IN_LIST_VALUES;
    config
}

/// What a run that looks for a fault must not push; no client can set it.
pub(crate) const WITHOUT: &str = "fjord.pushdown_without";

/// The state of a session; a statement works on a clone of it.
pub(crate) fn build(engine: &Arc<Engine>, info: &SessionInfo, settings: &Arc<RwLock<Settings>>) -> SessionState {
    let mut scalars = functions::internal_functions();
    scalars.push(super::using::own_function());
    let mut aggregates = vec![functions::pg_sum()];
    for schema in engine.system_schemas() {
        scalars.extend(schema.functions(engine, info));
        scalars.extend(schema.session_functions(engine, info, settings));
        aggregates.extend(schema.aggregates());
    }
    let mut physical = barrier::physical_rules();
    physical.push(Arc::new(SoftLimits));
    physical.push(Arc::new(TagDynamicFilters));
    let mut analyzer = functions::analyzer().rules;
    analyzer.push(Arc::new(WholeMicroseconds));
    let mut builder = SessionStateBuilder::new()
        .with_config(config(engine))
        .with_runtime_env(engine.runtime.clone())
        .with_default_features()
        .with_optimizer_rules(super::distinct::optimizer_rules())
        .with_physical_optimizer_rules(physical)
        .with_query_planner(Arc::new(FederationPlanner))
        .with_type_planner(Arc::new(PostgresTypes::default()))
        .with_analyzer_rules(analyzer);
    // Before DataFusion's own, which take `@>` for one of arrays.
    let planners = builder.expr_planners().get_or_insert_default();
    planners.insert(0, Arc::new(functions::JsonOperators));
    planners.insert(0, Arc::new(functions::ArrayOperators));
    planners.insert(0, Arc::new(functions::VectorSubscripts));
    planners.insert(0, Arc::new(functions::Extracts));
    planners.insert(0, Arc::new(functions::IntervalArithmetic));
    builder.scalar_functions().get_or_insert_default().extend(scalars);
    builder.aggregate_functions().get_or_insert_default().extend(aggregates);
    builder.build()
}

/// A state for one statement: the catalogs of its snapshot, the settings as they are now.
pub(crate) fn for_statement(base: &SessionState, env: &Arc<PlanEnv>) -> SessionState {
    let mut state = base.clone();
    state.register_catalog_list(env.catalogs());
    apply(&mut state, &env.settings);
    state.mark_start_execution();
    match withhold::PARTS.iter().find(|(part, _)| env.settings.get(WITHOUT) == Some(part)) {
        Some((part, _)) => SessionStateBuilder::from(state).with_query_planner(Arc::new(Withholding(part))).build(),
        None => state,
    }
}

/// How the session wants sources to be read.
pub(crate) fn reads(settings: &Settings) -> ReadSettings {
    ReadSettings {
        most: settings.get("fjord.max_parallel_reads").and_then(|v| v.parse().ok()).filter(|n| *n > 0),
        snapshot: match settings.get("fjord.snapshot") {
            Some("query") => Some(true),
            Some("off") => Some(false),
            _ => None,
        },
    }
}

fn apply(state: &mut SessionState, settings: &Settings) {
    let zone = settings.get("timezone").unwrap_or("UTC");
    let dynamic = DynamicSettings { on: settings.is_on("fjord.dynamic_filters"), wait: settings.duration("fjord.dynamic_filter_wait") };
    state.config_mut().set_extension(Arc::new(dynamic));
    state.config_mut().set_extension(Arc::new(reads(settings)));
    // DataFusion spells an offset as `+02:00`, and so do we; UTC by its name prints as Postgres's.
    state.config_mut().options_mut().execution.time_zone = Some(zone.to_string());
    // Settings are checked when they are set: what cannot be read here has never been one.
    let values = EncodeSettings::of(settings).unwrap_or_default();
    state.config_mut().options_mut().extensions.insert(ValueOptions(values));
}
