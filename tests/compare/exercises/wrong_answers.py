"""Typical wrong answers: one line of a solution, what a learner writes there, and its name.

`bugs` has every name that is true of it: the diagnosis must give one of these, or none.
"""

from typing import NamedTuple


class Wrong(NamedTuple):
    number: int
    right: str
    wrong: str
    bugs: str


_ROWS = """
1 | dz = (p - y) / len(y) | dz = p - y | missing_batch_mean constant_factor
1 | dz = (p - y) / len(y) | dz = (y - p) / len(y) | sign_flipped constant_factor
1 | dz = (p - y) / len(y) | dz = (p - y) / len(y) * p * (1 - p) | activation_derivative_twice wrong_value
1 | dw = x.T @ dz | dw = x.T @ dz / len(y) | extra_batch_mean constant_factor
2 | dz1 = dh * (1 - h**2) | dz1 = dh | missing_activation_derivative
2 | dz1 = dh * (1 - h**2) | dz1 = dh * (1 - np.tanh(h) ** 2) | activation_derivative_at_output
2 | dz1 = dh * (1 - h**2) | dz1 = dh * h * (1 - h) | wrong_activation wrong_derivative
2 | db1 = dz1.sum(axis=0) | db1 = dz1.mean(axis=0) | bias_averaged constant_factor
2 | dz2 = (p - y) / len(y) | dz2 = (p - y) * p * (1 - p) / len(y) | activation_derivative_twice wrong_value
3 | dx = dy @ w.T | dx = dy @ w | transposed
3 | dw = x.T @ dy | dw = dy.T @ x | transposed
3 | db = dy.sum(axis=0) | db = dy.mean(axis=0) | bias_averaged constant_factor
3 | db = dy.sum(axis=0) | db = np.full(4, dy.sum()) | bias_summed_over_features summed_wrongly
4 | du = dy * (u > 0) | du = dy | missing_activation_derivative mask_missing
4 | du = dy * (u > 0) | du = 1.0 * (u > 0) | missing_factor wrong_value
4 | dv = dy * np.where(v > 0, 1, slope) | dv = dy * (v > 0) | wrong_activation mask_extra wrong_derivative path_cut
4 | dv = dy * np.where(v > 0, 1, slope) | dv = dy * np.where(v > 0, slope, 1) | wrong_derivative wrong_value mask_extra
5 | dz = (p - target) / len(y) | dz = p - target | missing_batch_mean constant_factor
5 | dz = (p - target) / len(y) | dz = (target - p) / len(y) | sign_flipped constant_factor
5 | dz = (p - target) / len(y) | dz = -target * (1 - p) / len(y) | diagonal_softmax_jacobian mask_extra
5 | dz = (p - target) / len(y) | dz = -target / len(y) | path_cut normalisation_terms_missing
6 | dz2 = (p - np.eye(10)[y]) / len(y) | dz2 = p - np.eye(10)[y] | missing_batch_mean constant_factor
6 | db1 = dz1.sum(axis=0) | db1 = np.full(16, dz1.sum()) | bias_summed_over_features summed_wrongly
6 | dz1 = dh * (h > 0) | dz1 = dh | missing_activation_derivative mask_missing
6 | dw1 = x.T @ dz1 | dw1 = x.T @ dz1 / len(y) | extra_batch_mean constant_factor
7 | dx = (dn - dn.mean(axis=0) - n * (dn * n).mean(axis=0)) / s | dx = dn / s | normalisation_terms_missing
7 | dx = (dn - dn.mean(axis=0) - n * (dn * n).mean(axis=0)) / s | dx = (dn - dn.mean(axis=0)) / s | normalisation_terms_missing path_cut
7 | dn = dy * gamma | dn = dy | scale_omitted missing_factor
7 | dgamma = (dy * n).sum(axis=0) | dgamma = dy.sum(axis=0) | missing_factor
8 | dx = dh * kept / keep | dx = dh * kept | dropout_scale_missing constant_factor scale_omitted
8 | dx = dh * kept / keep | dx = dh / keep | mask_missing missing_factor
8 | dx = dh * kept / keep | dx = dh * (np.random.default_rng(1).uniform(size=dh.shape) < keep) / keep | mask_redrawn wrong_value
8 | dw = h.T @ dy | dw = (h * keep).T @ dy | dropout_scale_missing constant_factor scale_omitted
9 | dk += np.einsum("mabc,mf->abcf", window, dy[:, i, j]) | dk = np.einsum("mabc,mf->abcf", window, dy[:, i, j]) | overwritten_not_accumulated
9 | dx[:, i : i + a, j : j + b] += np.einsum("mf,abcf->mabc", dy[:, i, j], k) | dx[:, i : i + a, j : j + b] = np.einsum("mf,abcf->mabc", dy[:, i, j], k) | overwritten_not_accumulated
9 | dx[:, i : i + a, j : j + b] += np.einsum("mf,abcf->mabc", dy[:, i, j], k) | dx[:, i : i + a, j : j + b] += np.einsum("mf,abcf->mabc", dy[:, i, j], k[::-1, ::-1]) | kernel_flipped wrong_places
9 | dbias = dy.sum(axis=(0, 1, 2)) | dbias = dy.mean(axis=(0, 1, 2)) | bias_averaged constant_factor
10 | np.add.at(dx, (slice(None), row, column), dwindows) | dx[:, row, column] += dwindows | overwritten_not_accumulated
10 | dk = (rows.T @ dy_rows).reshape(k.shape) | dk = (rows.T @ dy_rows).reshape(k.shape) / m | constant_factor extra_batch_mean
10 | dbias = dy_rows.sum(axis=0) | dbias = dy_rows.mean(axis=0) | bias_averaged constant_factor
10 | drows = dy_rows @ k.reshape(-1, f).T | drows = dy_rows @ k[::-1, ::-1].reshape(-1, f).T | kernel_flipped wrong_places
11 | dwindows = largest * dy[:, :, None, :, None] | dwindows = np.ones_like(windows) * dy[:, :, None, :, None] | mask_missing
11 | dwindows = largest * dy[:, :, None, :, None] | dwindows = np.ones_like(windows) * dy[:, :, None, :, None] / 4 | mask_missing wrong_derivative
11 | dwindows = largest * dy[:, :, None, :, None] | dwindows = largest * windows | missing_factor wrong_value
11 | largest = windows == y[:, :, None, :, None] | largest = windows == windows.max(axis=(1, 2), keepdims=True) | mask_extra wrong_value
12 | np.add.at(dtable, tokens, dy) | dtable[tokens] = dy | overwritten_not_accumulated
12 | np.add.at(dtable, tokens, dy) | dtable[tokens] += dy | overwritten_not_accumulated
12 | dpositions = dy.sum(axis=0) | dpositions = dy.mean(axis=0) | bias_averaged constant_factor
12 | dpositions = dy.sum(axis=0) | dpositions = dy[0] | dropped_examples overwritten_not_accumulated
13 | dh = dy[:, t] + carried | dh = dy[:, t] | time_steps_truncated path_cut
13 | dwx += x[:, t].T @ dz | dwx = x[:, t].T @ dz | overwritten_not_accumulated
13 | dz = dh * (1 - hs[t + 1] ** 2) | dz = dh * (1 - hs[t] ** 2) | wrong_value
13 | carried = dz @ wh.T | carried = dz @ wh | transposed
13 | for t in reversed(range(x.shape[1])): | for t in range(x.shape[1]): | time_reversed
14 | dc_after = dc_later + dh_after * o * (1 - np.tanh(c_after) ** 2) | dc_after = dh_after * o * (1 - np.tanh(c_after) ** 2) | path_cut overwritten_not_accumulated
14 | dc = dc_after * f | dc = dc_after | missing_factor
14 | df = dc_after * c | df = dc_after * c_after | wrong_value
14 | dzo = do * o * (1 - o) | dzo = do | missing_activation_derivative
14 | dzg = dg * (1 - g**2) | dzg = dg * g * (1 - g) | wrong_activation wrong_derivative
15 | along = (du * u).mean(axis=1, keepdims=True) | along = (du * u).mean(axis=0, keepdims=True) | summed_wrongly
15 | dx = (du - du.mean(axis=1, keepdims=True) - u * along) / s | dx = du / s | normalisation_terms_missing
15 | du = dy * gamma | du = dy | scale_omitted missing_factor
15 | dgamma = (dy * u).sum(axis=0) | dgamma = (dy * u).sum(axis=1) | summed_wrongly
16 | ds = p * (dp - (dp * p).sum(axis=2, keepdims=True)) | ds = p * (1 - p) * dp | diagonal_softmax_jacobian
16 | ds = p * (dp - (dp * p).sum(axis=2, keepdims=True)) | ds = p * (dp - (dp * p).sum(axis=1, keepdims=True)) | softmax_wrong_axis
16 | dq = ds @ k * scale | dq = ds @ k | scale_omitted constant_factor
16 | dv = p.swapaxes(1, 2) @ dy | dv = p @ dy | transposed
17 | dw += h[rows].T @ dz | dw = h[rows].T @ dz | overwritten_not_accumulated
17 | dz = (p - target) / len(h) | dz = (p - target) / len(p) | constant_factor wrong_value extra_batch_mean missing_batch_mean
17 | dz = (p - target) / len(h) | dz = p - target | missing_batch_mean constant_factor
17 | for start in range(0, len(h), size): | for start in range(0, len(h) - size + 1, size): | dropped_examples path_cut
18 | dr = dy + norm_backward(dn2, n2, s2) | dr = norm_backward(dn2, n2, s2) | path_cut overwritten_not_accumulated
18 | dx = dr + norm_backward(dn1, n1, s1) | dx = norm_backward(dn1, n1, s1) | path_cut overwritten_not_accumulated
18 | dz = du * (u > 0) | dz = du | missing_activation_derivative mask_missing
18 | dn1 = dq @ params["wq"].T + dk @ params["wk"].T + dv @ params["wv"].T | dn1 = dv @ params["wv"].T | path_cut overwritten_not_accumulated
18 | da = dr @ params["wo"].T | da = dy @ params["wo"].T | wrong_value path_cut
"""


def _read(row: str) -> Wrong:
    number, right, wrong, bugs = row.split(" | ")
    return Wrong(int(number), right, wrong, bugs)


WRONG = [_read(row) for row in _ROWS.strip().splitlines()]
