/* The functions that Dash and its components put on `window`, under names of this page. */

/* Set properties of a component, as a callback would. */
export const setProps = (id, props) => window.dash_clientside.set_props(id, props);

/* What a clientside callback returns to leave an output as it is. */
export const noUpdate = () => window.dash_clientside.no_update;

/* What a clientside callback throws to leave all outputs as they are. */
export const preventUpdate = () => window.dash_clientside.PreventUpdate;

/* The interface of an AG Grid by the component's id; falsy while there is none. */
export const gridOf = (id) => document.getElementById(id) && window.dash_ag_grid && window.dash_ag_grid.getApi(id);
