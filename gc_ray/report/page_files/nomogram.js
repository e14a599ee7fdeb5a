"use strict";
// risk = logistic(intercept + sum of coefficient * (value - centre) / scale): the signature's own formula and order
(function () {
  function standardised(model, values) {
    return model.inputs.map((input, i) => (values[i] - input.centre) / input.scale);
  }
  function logistic(x) {
    return x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x));
  }
  function linear(model, z) {
    return z.reduce((sum, value, i) => sum + value * model.inputs[i].coefficient, 0) + model.intercept;
  }
  function standardError(model, z) {
    const design = [1, ...z];
    let variance = 0;
    model.covariance.forEach((row, i) => row.forEach((c, j) => { variance += design[i] * c * design[j]; }));
    return Math.sqrt(variance);
  }
  function percent(risk) {
    return (100 * risk).toFixed(1) + " %";
  }
  function connect(box) {
    const model = JSON.parse(box.querySelector("script[type='application/json']").textContent);
    const fields = model.inputs.map((_, i) => [...box.querySelectorAll("[data-input='" + i + "']")]);
    const values = model.inputs.map((input) => input.start);
    const output = box.querySelector("output");
    const interval = box.querySelector(".interval");
    function show() {
      const z = standardised(model, values);
      const x = linear(model, z);
      const risk = logistic(x);
      output.dataset.risk = String(risk);
      output.textContent = percent(risk);
      if (model.covariance) {
        const reach = model.z95 * standardError(model, z);
        interval.textContent = "95 % interval of the model's estimate " + percent(logistic(x - reach)) + " to " + percent(logistic(x + reach));
      }
    }
    fields.forEach((group, i) => group.forEach((field) => field.addEventListener("input", () => {
      const value = Number(field.value);
      if (field.value === "" || !Number.isFinite(value)) { return; }
      values[i] = value;
      group.forEach((other) => { if (other !== field) { other.value = String(value); } });
      show();
    })));
    show();
  }
  document.querySelectorAll(".calculator").forEach(connect);
})();
