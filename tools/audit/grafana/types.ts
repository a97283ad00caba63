// What a dashboard of ours may be, in the types that Grafana publishes of its own schema. The compiler refuses a property
// that none of them has, a value of another type, and one that is missing.
import type {
  AnnotationQuery,
  Dashboard,
  DataQuery,
  FieldConfigSource,
  GraphFieldConfig,
  Panel,
  RowPanel,
} from '@grafana/schema';
import type { Options as BarGauge } from '@grafana/schema/dist/types/raw/composable/bargauge/panelcfg/x/BarGaugePanelCfg_types.gen';
import type { Options as Stat } from '@grafana/schema/dist/types/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type { Options as Text } from '@grafana/schema/dist/types/raw/composable/text/panelcfg/x/TextPanelCfg_types.gen';
import type { Options as TimeSeries } from '@grafana/schema/dist/types/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';

// The enumerations' values as they stand in JSON.
type Json<T> = T extends string
  ? `${T}`
  : T extends number
    ? (number extends T ? number : `${T}` extends `${infer N extends number}` ? N : never)
    : T extends (infer E)[]
      ? Json<E>[]
      : T extends object
        ? { [K in keyof T]: Json<T[K]> }
        : T;

interface PrometheusQuery extends DataQuery {
  expr: string;
  legendFormat?: string;
  instant?: boolean;
  range?: boolean;
  interval?: string;
}
// The data source's own part of a target and of an annotation is no part of the schema.
type Annotation = Json<AnnotationQuery<PrometheusQuery>> & { titleFormat?: string };
type Common = Omit<Json<Panel>, 'type' | 'options' | 'targets' | 'fieldConfig'>;
type Of<T extends string, Options, Custom = Record<string, never>> = Common & {
  type: T;
  options: Json<Options>;
  targets: Json<PrometheusQuery>[];
  fieldConfig: Json<FieldConfigSource<Custom>>;
};
type OurPanel =
  | Of<'timeseries', TimeSeries, GraphFieldConfig>
  | Of<'stat', Stat>
  | Of<'bargauge', BarGauge>
  | (Common & { type: 'text'; options: Json<Text> })
  | Json<RowPanel>;

export type OurDashboard = Omit<Json<Dashboard>, 'panels' | 'annotations'> & {
  panels: OurPanel[];
  annotations: { list: Annotation[] };
};
// What POST /api/dashboards/db takes.
export interface ApiRequest {
  dashboard: Omit<OurDashboard, 'id'> & { id: null };
  folderUid: string;
  overwrite: boolean;
}
