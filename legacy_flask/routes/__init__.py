"""The routes of the contract, one blueprint per noun."""
