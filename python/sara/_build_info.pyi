# SPDX-License-Identifier: Apache-2.0
torch_version: str
version: str
